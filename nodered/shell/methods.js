    hello () { this.$socket.emit('widget-action', this.id, { payload: { kind: 'hello' } }) },
    receive (msg) {
      const payload = (msg && msg.payload) || {}
      if (payload.kind !== 'line' && payload.kind !== 'history') return
      if (!payload.labels && !this.l.states) return // news for all came before the answer to this page's hello: wait for the words
      this.heard_at = performance.now()
      this.server_now = payload.now
      this.tickClock()
      if (payload.labels) {
        this.labels = payload.labels
        const languages = Object.keys(this.labels)
        if (!languages.includes(this.language)) this.language = languages.includes(payload.language) ? payload.language : 'en'
      }
      const list = payload.kind === 'line' ? this.stations : this.histories
      for (const station of payload.stations) {
        const at = list.findIndex((other) => other.name === station.name)
        if (at < 0) list.push(station)
        else list.splice(at, 1, station)
      }
      list.sort((a, b) => a.name.localeCompare(b.name))
      if (payload.kind === 'history') return
      this.stations = list.filter((station) => payload.names.includes(station.name))
      this.problems = payload.problems
      this.commands = payload.commands
      this.broker = payload.broker
      // A station once chosen stays chosen, be it away: after a restart the page must not show another one by itself.
      if (!this.chosen && this.stations.length) {
        const first = this.stations.find((station) => station.presence === 'online') || this.stations[0]
        this.chosen = first.name
      }
    },
    // Time is the server's, carried on by this page's own steady clock: a tablet with a wrong date shows right ages.
    tickClock () {
      const silence = performance.now() - this.heard_at
      this.now = Math.round(this.server_now + silence)
      this.linked = this.heard_at > 0 && silence < 6000 && this.$socket.connected
      if (!this.heard_at || silence > 3000) this.hello()
    },
    choose (name) {
      this.chosen = name
      localStorage.setItem('edge-inspector.station', name)
    },
    chooseLanguage (language) {
      this.language = language
      localStorage.setItem('edge-inspector.language', language)
    },
    chooseTheme () {
      this.theme = this.theme === 'dark' ? 'light' : 'dark'
      localStorage.setItem('edge-inspector.theme', this.theme)
    },
    send (command, args) {
      const by = localStorage.getItem('edge-inspector.by') || ''
      this.$socket.emit('widget-action', this.id, { payload: { kind: 'command', station: this.chosen, command, args: args || {}, by } })
    },
    toneOf (live, state) {
      if (!live) return 'away'
      if (state === 'READY' || state === 'RUNNING') return 'good'
      return state === 'ERROR' ? 'bad' : 'warn'
    },
    stateOf (station) {
      if (this.broker !== 'connected' || !this.linked) return 'away'
      return this.toneOf(station.presence === 'online', station.health ? station.health.state : 'STARTING')
    },
    away () { return this.fill(this.word('away_means', this.presence === 'no_station' && !this.chosen ? 'nobody' : this.presence), { name: this.chosen }) },
    word (group, key) { return (this.l[group] && this.l[group][key]) || key },
    // The daemon's own words, and before them, in another language than its own, what they mean.
    reasonOf (row) {
      const known = this.l.reasons[row.reason_code]
      return known && row.reason ? this.fill(this.l.reason_in_words, { text: known.text, detail: row.reason }) : row.reason || (known ? known.text : '')
    },
    fill (sentence, values) { return (sentence || '').replace(/\{(\w+)\}/g, (_, name) => values[name]) },
    number (value, digits) {
      if (value === null || value === undefined) return '–'
      return value.toLocaleString(this.l.locale, { minimumFractionDigits: digits || 0, maximumFractionDigits: digits || 0 })
    },
    time (at) { return at ? new Date(at).toLocaleTimeString(this.l.locale, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false }) : '–' },
    date (at) { return new Date(at).toLocaleDateString(this.l.locale, { day: 'numeric', month: 'short' }) },
    day (at) { return !at || new Date(at).toDateString() === new Date(this.now).toDateString() ? '' : this.date(at) + ' ' },
    ago (at) {
      const seconds = Math.max(0, Math.round((this.now - at) / 1000))
      if (seconds < 3) return this.l.just_now
      if (seconds < 120) return this.fill(this.l.seconds_ago, { n: seconds })
      if (seconds < 7200) return this.fill(this.l.minutes_ago, { n: Math.round(seconds / 60) })
      return this.fill(this.l.hours_ago, { n: Math.round(seconds / 3600) })
    },
    pictureAddress (id) { return '/picture/' + encodeURIComponent(this.chosen) + '/' + encodeURIComponent(id) },
    open () {
      const url = new URLSearchParams(location.search)
      this.language = url.get('language') || localStorage.getItem('edge-inspector.language') || ''
      this.theme = url.get('theme') || localStorage.getItem('edge-inspector.theme') || (matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark')
      this.chosen = url.get('station') || localStorage.getItem('edge-inspector.station') || ''
      this.receiver = (msg) => this.receive(msg)
      this.greeter = () => this.hello()
      this.$socket.on('msg-input:' + this.id, this.receiver)
      this.$socket.on('connect', this.greeter)
      this.timer = setInterval(() => this.tickClock(), 500)
      this.hello()
    },
    close () {
      clearInterval(this.timer)
      this.$socket.off('msg-input:' + this.id, this.receiver)
      this.$socket.off('connect', this.greeter)
    },
