// Answer what a page asks. Output 1: "hello" asks for everything there is. Output 2: a command on its way to the daemon.
const COMMANDS = ['trigger', 'part', 'pause', 'resume', 'reset_counters', 'feedback', 'self_check', 'resend', 'challenge', 'monitor', 'collect']
const EXPIRES_MS = 10000
const COMMANDS_MAX = 30
const now = Date.now()
const line = flow.get('line')
const asked = msg.payload && typeof msg.payload === 'object' ? msg.payload : {}
const client = msg._client && msg._client.socketId
const text = (value, limit) => (typeof value === 'string' ? value.replace(/[\u0000-\u001f\u007f]/g, ' ').trim().slice(0, limit) : '')
const whole = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : 0)

// Only these fields leave for the daemon; whatever else a page sends stays here.
function readArgs (command, args) {
  const given = args && typeof args === 'object' ? args : {}
  switch (command) {
    case 'part': return { part: text(given.part, 128) }
    case 'feedback': return { id: text(given.id, 128), agree: given.agree === true }
    case 'resend': return { from_seq: whole(given.from_seq), to_seq: whole(given.to_seq) }
    case 'monitor': return Number.isSafeInteger(given.minutes) ? { minutes: given.minutes } : {} // never 0 by mistake: 0 ends it
    case 'collect': return Number.isSafeInteger(given.count) ? { count: given.count, ...readTexts(given, ['part', 'group', 'serial']) } : {}
    default: return {}
  }
}

const readTexts = (given, names) => Object.fromEntries(names.map((name) => [name, text(given[name], 128)]).filter((pair) => pair[1]))

function refusal (station, command) {
  if (line.broker !== 'connected') return 'no_broker'
  if (!line.stations.has(station) || line.stations.get(station).presence !== 'online') return 'station_away'
  return COMMANDS.includes(command) ? '' : 'unknown'
}

if (asked.kind === 'hello') return [{ client }, null]
if (asked.kind !== 'command' || !line) return null
const station = text(asked.station, 64)
const command = text(asked.command, 32)
const args = readArgs(command, asked.args)
const by = text(asked.by, 40) || env.get('EDGE_INSPECTOR_UI_USER') || 'dashboard'
const correlation_id = `dashboard-${now.toString(36)}-${Math.random().toString(36).slice(2, 12)}`
const refused = refusal(station, command)
line.commands.unshift({ station, command, args, by, correlation_id, sent_at: now, status: refused ? 'not_sent' : 'sent', reason: refused })
line.commands.splice(COMMANDS_MAX)
line.changed = true
if (refused) return null
return [null, {
  topic: `${env.get('EDGE_INSPECTOR_ROOT')}/${station}/cmd/${command}`, qos: 1, retain: false, contentType: 'application/json',
  messageExpiryInterval: EXPIRES_MS / 1000,
  payload: JSON.stringify({ correlation_id, by, args, expires: new Date(now + EXPIRES_MS).toISOString() }),
}]
