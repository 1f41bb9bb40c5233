labels: {}, language: '', theme: '', stations: [], histories: [], chosen: '', problems: [], commands: [], broker: 'connecting',
      heard_at: 0, server_now: 0, clock: 0, linked: false, now: 0
