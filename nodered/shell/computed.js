    l () { return this.labels[this.language] || {} },
    station () { return this.stations.find((station) => station.name === this.chosen) || null },
    // The one answer to "may I believe what I see?": online, or why not.
    presence () {
      if (!this.linked) return 'no_link'
      if (this.broker !== 'connected') return 'no_broker'
      return this.station ? this.station.presence : 'no_station'
    },
    live () { return this.presence === 'online' },
    state () {
      if (!this.live) return this.presence.toUpperCase()
      return this.station.health ? this.station.health.state : 'STARTING'
    },
    tone () { return this.toneOf(this.live, this.state) },
    activeAlarms () { return this.station ? this.station.alarms : [] },
    recentProblems () {
      const elsewhere = this.stations.map((station) => station.name).filter((name) => name !== this.chosen)
      return this.problems.filter((problem) => this.now - problem.at < 60000 && !elsewhere.includes(problem.station))
    },
    notices () {
      const texts = this.l.notice
      if (!texts) return []
      const found = []
      const health = this.live && this.station.health
      if (health && this.tone !== 'good') {
        const detail = health.last_error || health.source.detail || texts.no_detail
        found.push({ tone: this.tone, text: this.fill(texts[this.state], { detail }) })
      }
      if (health && health.monitor) found.push({ tone: 'bad', text: this.fill(texts.monitor, { by: health.monitor.by, until: this.day(health.monitor.until) + this.time(health.monitor.until) }) })
      if (health && health.challenge.failed) found.push({ tone: 'bad', text: this.fill(texts.challenge_failed, { detail: health.challenge.failed }) })
      if (health && health.challenge.overdue) found.push({ tone: 'bad', text: texts.challenge_overdue })
      if (health && health.challenge.announced) found.push({ tone: 'warn', text: texts.challenge_announced })
      if (health && health.undelivered.count && health.undelivered.oldest_s >= 5) { // younger ones are just on their way
        found.push({ tone: 'warn', text: this.fill(texts.undelivered, { n: health.undelivered.count, s: this.number(health.undelivered.oldest_s) }) })
      }
      for (const problem of this.recentProblems.slice(0, 1)) {
        found.push({ tone: 'bad', text: this.fill(texts.problem, { topic: [problem.station, problem.topic].filter(Boolean).join('/'), what: problem.what }) })
      }
      return found
    },
