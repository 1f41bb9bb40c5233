// Five times a second: send the pages what has changed. Output 1 is the state of the line, output 2 the history.
const SILENT_MS = 25000 // health comes every 10 s
const ANSWER_MS = 10000 // a command expires 10 s after it was sent
const PULSE_MS = 2000 // a page that hears nothing for three pulses says so
const HISTORY_MS = 1000
const now = Date.now()
const line = flow.get('line')
if (!line) return null

function presence (station) {
  if (line.broker !== 'connected') return 'no_broker'
  if (station.availability === 'offline') return 'offline'
  return now - station.alive_at > SILENT_MS ? 'silent' : 'online'
}

// The verdict waits a moment for its own picture; it never takes another part's.
function showNext (station) {
  if (!station.next || (now < station.next_until && !station.pictures.has(station.next.id))) return
  station.shown = station.next
  station.next = null
  station.dirty = true
}

function view (station) {
  const { name, health, counters, recipe, alarms, info, collection, shown, alive_at } = station
  return {
    name, presence: station.presence, health, counters, recipe, alarms, info, collection, alive_at, events: station.events.slice(0, 100),
    shown: shown && { ...shown, has_picture: station.pictures.has(shown.id) }, recent: station.rows.slice(0, 60),
  }
}

const showHistory = (station) => ({
  name: station.name, rows: station.rows.slice(0, 200),
  gallery: station.rows.filter((row) => row.picture && station.defect_pictures.has(row.id)).slice(0, 10),
  hours: [...station.hours].sort((a, b) => a[0] - b[0]).slice(-24).map(([hour, counts]) => ({ hour: hour * 3600000, ...counts })),
  shifts: [...station.shifts.values()],
  reasons: [...station.reasons.values()].map(({ text, code, ...counts }) => ({ text, code, count: counts.NG + counts.REVIEW + counts.INVALID + counts.ERROR }))
    .sort((a, b) => b.count - a.count).slice(0, 8),
  parts: station.counters ? station.counters.by_part : [],
})

for (const command of line.commands) {
  if (command.status === 'sent' && now - command.sent_at > ANSWER_MS) {
    command.status = 'no_answer'
    line.changed = true
  }
}
const stations = [...line.stations.values()]
for (const station of stations) {
  showNext(station)
  const seen = presence(station)
  if (seen !== station.presence) Object.assign(station, { presence: seen, dirty: true })
}
const everything = msg.client !== undefined // a page has just opened: it alone gets all there is
const changed = stations.filter((station) => everything || station.dirty)
const dueHistory = stations.filter((station) => everything || (station.history_dirty && now - (station.history_at || 0) >= HISTORY_MS))
const client = everything ? { _client: { socketId: msg.client } } : {}
const output = [null, null]
if (everything || changed.length || line.changed || now - (line.pulse_at || 0) >= PULSE_MS) {
  output[0] = {
    ...client,
    payload: {
      kind: 'line', now, broker: line.broker, problems: line.problems, commands: line.commands, stations: changed.map(view), names: [...line.stations.keys()],
      ...(everything && { labels: global.get('labels'), language: env.get('EDGE_INSPECTOR_UI_LANGUAGE') }),
    },
  }
}
if (dueHistory.length) output[1] = { ...client, payload: { kind: 'history', now, stations: dueHistory.map(showHistory) } }
if (!everything) {
  line.pulse_at = output[0] ? now : line.pulse_at
  line.changed = false
  for (const station of changed) station.dirty = false
  for (const station of dueHistory) Object.assign(station, { history_dirty: false, history_at: now })
}
return output
