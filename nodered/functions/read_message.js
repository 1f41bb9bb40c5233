// Read one MQTT message of the contract into {kind, station, value}.
// What cannot be read becomes a problem that the pages show: it never stops the flow and is never taken for a part.
const PAYLOAD_LIMIT_BYTES = 900000
const VERDICTS = ['OK', 'NG', 'REVIEW', 'INVALID', 'ERROR']
const STATES = ['STARTING', 'READY', 'RUNNING', 'PAUSED', 'DEGRADED', 'ERROR', 'STOPPING']

const number = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : null)
const count = (value) => (Number.isInteger(value) && value >= 0 ? value : 0)
const list = (value, limit) => (Array.isArray(value) ? value.slice(0, limit) : [])
const object = (value) => (value && typeof value === 'object' && !Array.isArray(value) ? value : {})
const moment = (value) => (Number.isFinite(Date.parse(value)) ? Date.parse(value) : null)
const text = (value, limit = 200) => {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' ? value.replace(/[\u0000-\u001f\u007f]/g, ' ').slice(0, limit) : ''
}
// Strings and objects alike: the contract says "last error", not what shape it has.
const words = (value) => (value && typeof value === 'object' ? text(value.message || value.detail || JSON.stringify(value)) : text(value))

function readBlobs (blobs) {
  return list(blobs, 50)
    .map((blob) => ({ box: list(object(blob).box, 4).map(number), area: number(object(blob).area), peak: number(object(blob).peak) }))
    .filter((blob) => blob.box.length === 4 && !blob.box.includes(null))
}

function readResult (message) {
  const id = text(message.id, 128)
  if (!id) throw new Error('has no id')
  if (!VERDICTS.includes(message.verdict)) throw new Error(`has the verdict ${JSON.stringify(message.verdict)}, expected ${VERDICTS.join(', ')}`)
  const [challenge, monitored] = [message.challenge === true, message.monitored === true]
  if ((message.verdict === 'OK' && !challenge && !monitored) !== (message.accept === true)) throw new Error(`says ${message.verdict} and accept ${message.accept}`)
  const thumb = object(list(message.images, 10).find((image) => object(image).kind === 'thumb'))
  return {
    id, ledger: text(message.ledger), seq: count(message.seq), verdict: message.verdict,
    part: text(message.part), serial: text(message.serial), lot: text(message.lot), view: text(message.view),
    reason: text(message.reason, 400), reason_code: number(message.reason_code),
    score: number(message.score), blobs: readBlobs(message.blobs),
    has_thumb: thumb.kind === 'thumb',
    camera: [number(thumb.camera_width), number(thumb.camera_height)],
    bundle: text(object(message.bundle).id), captured_at: moment(message.captured_at), decided_at: moment(message.decided_at),
    total_ms: number(object(message.timing_ms).total), replayed: message.replayed === true, simulated: message.simulated === true, challenge, monitored,
  }
}

function readCounts (message) {
  // In by_part the counts carry the verdict's own name, OK; in the totals the field's, ok.
  const counts = Object.fromEntries(['ok', 'ng', 'review', 'invalid', 'error', 'replayed'].map((name) => (
    [name, count(message[name]) || count(message[name.toUpperCase()])])))
  const judged = counts.ok + counts.ng + counts.review
  const total = Number.isInteger(message.total) ? count(message.total) : judged + counts.invalid + counts.error
  return { ...counts, total, yield: message.yield === undefined && judged ? counts.ok / judged : number(message.yield) }
}

function readCounters (message) {
  const byPart = Object.entries(object(message.by_part)).slice(0, 50).map(([part, counts]) => ({ part: text(part), ...readCounts(object(counts)) }))
  return { ...readCounts(message), since: moment(message.since), parts_per_minute: number(message.parts_per_minute), by_part: byPart }
}

function readHealth (message) {
  if (!STATES.includes(message.state)) throw new Error(`has the state ${JSON.stringify(message.state)}, expected ${STATES.join(', ')}`)
  const undelivered = object(message.undelivered)
  const source = object(message.source)
  const monitor = object(message.monitor)
  const challenge = object(message.challenge)
  return {
    state: message.state, since: moment(message.since), engine: words(message.engine), disk_free_mb: number(message.disk_free_mb),
    source: { state: typeof source.open === 'boolean' ? (source.open ? 'open' : 'closed') : text(source.state), detail: text(source.detail) },
    undelivered: { count: count(undelivered.count), oldest_s: number(undelivered.oldest_s) }, last_error: words(message.last_error),
    monitor: message.monitor ? { by: text(monitor.by), until: moment(monitor.until) } : null,
    challenge: { announced: challenge.announced === true, failed: text(challenge.failed), overdue: challenge.overdue === true },
  }
}

const readRecipe = (message) => ({
  active: text(message.active),
  available: list(message.available, 200).map(object).map((recipe) => (
    { part: text(recipe.part), bundle: text(recipe.bundle), threshold: number(recipe.threshold) })).filter((recipe) => recipe.part),
})
const readAlarms = (message) => list(message.active, 100).map((code) => text(code)).filter(Boolean)
const readEvent = (message) => ({
  code: text(message.code), severity: text(message.severity), active: message.active === true, message: text(message.message, 400),
  since: moment(message.since) || Date.now(),
})
const readAck = (message) => ({
  command: text(message.command), correlation_id: text(message.correlation_id), status: text(message.status), reason: text(message.reason, 400),
})
const readInfo = (message) => ({
  product: text(message.product), version: text(message.version), host: text(message.host), source: words(message.source),
  parts: list(message.parts, 200).map((part) => text(part)),
})

function readCollection (message) {
  const last = object(message.last)
  return {
    state: text(message.state, 20), detail: text(message.detail), part: text(message.part), is_new: message.is_new === true, by: text(message.by),
    folder: text(message.folder, 400), views: list(message.views, 20).map((view) => text(view)),
    wanted: count(message.wanted), taken: count(message.taken), not_ok: count(message.not_ok), passed_over: count(message.passed_over),
    last: message.last ? {
      id: text(last.id, 128), verdict: text(last.verdict, 20), sharpness: number(last.sharpness), brightness: number(last.brightness),
      black: number(last.black), white: number(last.white), flaws: list(last.flaws, 5).map((flaw) => text(flaw, 20)),
    } : null,
  }
}

const JSON_READERS = {
  result: ['result', readResult], 'last/result': ['result', readResult], counters: ['counters', readCounters], health: ['health', readHealth],
  recipe: ['recipe', readRecipe], alarms: ['alarms', readAlarms], event: ['event', readEvent], ack: ['ack', readAck], info: ['info', readInfo],
  collection: ['collection', readCollection],
}

function readJson (payload, read) {
  let message
  try { message = JSON.parse(payload.toString('utf8')) } catch (error) { throw new Error('is not JSON') }
  if (!message || typeof message !== 'object' || Array.isArray(message)) throw new Error('is not a JSON object')
  if (message.schema_version !== 1) throw new Error(`has schema_version ${JSON.stringify(message.schema_version) || 'missing'}, expected 1`)
  return read(message)
}

// The id of an image travels in an MQTT 5 user property and, for MQTT 3.1.1, in the JPEG's comment segment as "id=...".
function readPicture (payload, userProperties) {
  if (payload.length < 4 || payload.readUInt16BE(0) !== 0xffd8) throw new Error('is not a JPEG image')
  let id = object(userProperties).id
  for (let at = 2; !id && at + 4 <= payload.length && payload[at] === 0xff && payload[at + 1] !== 0xda; at += 2 + payload.readUInt16BE(at + 2)) {
    const end = at + 2 + payload.readUInt16BE(at + 2)
    const comment = payload[at + 1] === 0xfe ? /id=(\S+)/.exec(payload.toString('utf8', at + 4, end).replace(/\0/g, '')) : null
    if (comment) id = comment[1]
  }
  if (!text(id, 128)) throw new Error('does not say which part it shows')
  return { id: text(id, 128), jpeg: payload }
}

function readAvailability (payload) {
  const value = payload.toString('utf8', 0, 20).trim()
  if (value !== 'online' && value !== 'offline') throw new Error(`is ${JSON.stringify(text(value))}, expected online or offline`)
  return value
}

function read (leaf, payload) {
  if (leaf === 'availability') return ['availability', readAvailability(payload)]
  if (leaf === 'image/thumb' || leaf === 'last/thumb') return ['picture', readPicture(payload, msg.userProperties)]
  if (leaf.startsWith('counters/shift/')) return ['shift', { name: text(leaf.slice('counters/shift/'.length)), ...readJson(payload, readCounters) }]
  if (!Object.hasOwn(JSON_READERS, leaf)) return null // plc/, cmd/ and what later versions add
  const [kind, reader] = JSON_READERS[leaf]
  return [kind, readJson(payload, reader)]
}

const root = env.get('EDGE_INSPECTOR_ROOT') + '/'
if (typeof msg.topic !== 'string' || !msg.topic.startsWith(root)) return null
const [station, ...below] = msg.topic.slice(root.length).split('/')
const leaf = below.join('/')
if (!leaf) return null
const payload = Buffer.isBuffer(msg.payload) ? msg.payload : Buffer.from(String(msg.payload))
try {
  if (payload.length === 0 && msg.retain !== true) return null // a retained topic was cleared
  if (!/^(?!\.)[^\s+#/$\u0000-\u001f\u007f]{1,64}$/.test(station)) throw new Error('comes from a station whose name is not allowed')
  if (payload.length > PAYLOAD_LIMIT_BYTES) throw new Error(`has ${payload.length} bytes, the limit is ${PAYLOAD_LIMIT_BYTES}`)
  const found = read(leaf, payload)
  return found ? { kind: found[0], station, value: found[1], live: msg.retain !== true && !leaf.startsWith('last/') } : null
} catch (error) {
  return { kind: 'problem', station: text(station, 64), value: { topic: text(leaf, 100), what: text(error.message, 200) } }
}
