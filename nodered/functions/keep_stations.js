// Keep what is known of every station, newest value wins, every list bounded; the pages read it through show_stations.
const STATIONS_MAX = 64
const ROWS_MAX = 500
const EVENTS_MAX = 200
const PICTURES_MAX = 12 // of any part, so that a picture may come before its verdict
const DEFECT_PICTURES_MAX = 60
const PROBLEMS_MAX = 30
const PICTURE_WAIT_MS = 400

const now = Date.now()
const line = flow.get('line') || { broker: 'connecting', stations: new Map(), problems: [], commands: [], changed_at: now }
flow.set('line', line)

const newStation = (name) => ({
  name, availability: null, alive_at: now, health: null, counters: null, shifts: new Map(), recipe: null, alarms: [], info: null, collection: null,
  shown: null, next: null, next_until: 0, rows: [], by_id: new Map(), ledger: '', seq_counted: 0, hours: new Map(), reasons: new Map(),
  events: [], pictures: new Map(), defect_pictures: new Map(), dirty: true, history_dirty: true, events_dirty: true,
})

function forget (map, limit) {
  while (map.size > limit) map.delete(map.keys().next().value)
}

function addProblem (station, value) {
  const same = line.problems.find((problem) => problem.station === station && problem.topic === value.topic && problem.what === value.what)
  if (same) Object.assign(same, { at: now, count: same.count + 1 })
  else line.problems.unshift({ station, ...value, at: now, first_at: now, count: 1 })
  line.problems.sort((a, b) => b.at - a.at).splice(PROBLEMS_MAX)
  line.changed = true
}

function keepPicture (station, { id, jpeg }) {
  station.pictures.delete(id)
  station.pictures.set(id, Buffer.from(jpeg)) // a copy: the message's own bytes hold on to the socket's whole buffer
  forget(station.pictures, PICTURES_MAX)
  keepDefectPicture(station, id)
}

function keepDefectPicture (station, id) {
  const row = station.by_id.get(id)
  if (!row || row.verdict === 'OK' || !station.pictures.has(id)) return
  station.defect_pictures.set(id, station.pictures.get(id))
  forget(station.defect_pictures, DEFECT_PICTURES_MAX)
  row.picture = true
  station.history_dirty = true
}

// A result sent again from the ledger, or one that waited for the broker, must not push the newest part off the page.
function isNewer (result, shown) {
  if (!shown) return true
  return result.ledger === shown.ledger ? result.seq > shown.seq : result.at >= shown.at
}

function addCount (map, key, verdict, words) {
  const counts = map.get(key) || { OK: 0, NG: 0, REVIEW: 0, INVALID: 0, ERROR: 0 }
  counts[verdict] += 1
  map.delete(key)
  map.set(key, Object.assign(counts, words))
}

function countOnce (station, result) {
  if (result.ledger !== station.ledger) Object.assign(station, { ledger: result.ledger, seq_counted: 0 })
  if (result.seq <= station.seq_counted) return
  station.seq_counted = result.seq
  if (result.challenge || result.monitored) return // not of production
  addCount(station.hours, Math.floor(result.at / 3600000), result.verdict)
  forget(station.hours, 48)
  if (result.verdict === 'OK') return
  const text = result.reason.replace(/\d+([.,]\d+)?/g, '…').slice(0, 80) // one reason whatever its figures
  addCount(station.reasons, result.reason_code === null ? text : result.reason_code, result.verdict, { text, code: result.reason_code })
  forget(station.reasons, 50)
}

function addRow (station, result) {
  const largest = Math.max(0, ...result.blobs.map((blob) => blob.area || 0))
  const { id, ledger, seq, at, verdict, score, reason, reason_code, part, serial, lot, total_ms, replayed, challenge, monitored } = result
  const row = { id, ledger, seq, at, verdict, score, reason, reason_code, part, serial, lot, total_ms, replayed, challenge, monitored, blobs: result.blobs.length, largest }
  if (verdict !== 'OK') Object.assign(row, { camera: result.camera, boxes: result.blobs.slice(0, 8).map((blob) => blob.box) })
  const place = station.rows.findIndex((other) => (other.ledger === ledger ? other.seq < seq : other.at <= at))
  station.rows.splice(place < 0 ? station.rows.length : place, 0, row)
  station.by_id.set(id, row)
  for (const old of station.rows.splice(ROWS_MAX)) station.by_id.delete(old.id)
  countOnce(station, result)
  keepDefectPicture(station, id)
  station.history_dirty = true
}

function keepResult (station, result) {
  // A station whose clock runs ahead would otherwise never grow old on the page.
  result.at = Math.min(result.decided_at === null ? now : result.decided_at, now)
  if (station.by_id.has(result.id)) return
  addRow(station, result)
  if (!isNewer(result, station.next || station.shown)) return
  if (!station.next) station.next_until = now + (result.has_thumb ? PICTURE_WAIT_MS : 0)
  station.next = result
}

function keepEvent (station, event) {
  if (!event.active) {
    const open = station.events.find((other) => other.code === event.code && other.active)
    if (open) {
      Object.assign(open, { active: false, cleared_at: now })
      return
    }
  }
  station.events.unshift({ ...event, at: now, cleared_at: event.active ? null : now })
  station.events.splice(EVENTS_MAX)
}

function keepAck (ack) {
  const command = line.commands.find((sent) => sent.correlation_id === ack.correlation_id)
  if (!command || ['done', 'rejected', 'expired'].includes(command.status)) return
  Object.assign(command, { status: ack.status, reason: ack.reason, answered_at: now })
  line.changed = true
}

// The page has room for so many; one that left long ago makes room for one that is new.
function forgetLostStation () {
  const lost = [...line.stations.values()].filter((station) => station.presence !== 'online').sort((a, b) => a.alive_at - b.alive_at)[0]
  return lost !== undefined && line.stations.delete(lost.name)
}

function findStation (name) {
  if (!line.stations.has(name)) {
    if (line.stations.size >= STATIONS_MAX && !forgetLostStation()) return null
    line.stations.set(name, newStation(name))
  }
  return line.stations.get(name)
}

if (msg.kind === 'broker') {
  // After an outage nobody counts as alive until heard again: a killed broker has forgotten who was there.
  if (msg.value === 'connected' && line.broker !== 'connected') for (const station of line.stations.values()) station.alive_at = 0
  line.broker = msg.value
  line.changed = true
  return null
}
if (msg.kind === 'problem') {
  addProblem(msg.station, msg.value)
  return null
}
const station = findStation(msg.station)
if (!station) {
  addProblem('', { topic: msg.station, what: `is the ${STATIONS_MAX + 1}th station, this page shows ${STATIONS_MAX}` })
  return null
}
if (msg.live || msg.kind === 'availability' || msg.kind === 'health') station.alive_at = now
switch (msg.kind) {
  case 'result': keepResult(station, msg.value); break
  case 'picture': keepPicture(station, msg.value); break
  case 'shift': station.shifts.set(msg.value.name, msg.value); forget(station.shifts, 12); station.history_dirty = true; break
  case 'event': keepEvent(station, msg.value); break
  case 'ack': keepAck(msg.value); break
  default: station[msg.kind] = msg.value // availability, health, counters, recipe, alarms, info, collection
}
station.dirty = true
return null
