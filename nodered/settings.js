// Node-RED's settings for the edge-inspector dashboard: everything that differs between plants comes from the environment,
// everything that would open a door is closed. README.md lists the variables.
const path = require('path')
const bcrypt = require('bcryptjs')

const environment = process.env
const defaults = {
  EDGE_INSPECTOR_MQTT_HOST: '127.0.0.1',
  EDGE_INSPECTOR_MQTT_PORT: '1883',
  EDGE_INSPECTOR_MQTT_VERSION: '5',
  EDGE_INSPECTOR_MQTT_USER: '',
  EDGE_INSPECTOR_MQTT_PASSWORD: '',
  EDGE_INSPECTOR_MQTT_CA: '',
  EDGE_INSPECTOR_MQTT_CERT: '',
  EDGE_INSPECTOR_MQTT_KEY: '',
  EDGE_INSPECTOR_ROOT: 'edge-inspector/v1',
  EDGE_INSPECTOR_UI_HOST: '127.0.0.1',
  EDGE_INSPECTOR_UI_PORT: '1880',
  EDGE_INSPECTOR_UI_USER: '',
  EDGE_INSPECTOR_UI_PASSWORD_HASH: '',
  EDGE_INSPECTOR_UI_EDITOR_HASH: '',
  EDGE_INSPECTOR_UI_LANGUAGE: 'en',
}
for (const [name, value] of Object.entries(defaults)) environment[name] = environment[name] || value

// Node-RED fills in ${NAME} only where it is the whole property, so address and subscription need names of their own.
const scheme = environment.EDGE_INSPECTOR_MQTT_CA ? 'mqtts' : 'mqtt'
environment.EDGE_INSPECTOR_MQTT_URL = `${scheme}://${environment.EDGE_INSPECTOR_MQTT_HOST}:${environment.EDGE_INSPECTOR_MQTT_PORT}`
environment.EDGE_INSPECTOR_ROOT = environment.EDGE_INSPECTOR_ROOT.replace(/\/+$/, '')
environment.EDGE_INSPECTOR_SUBSCRIPTION = environment.EDGE_INSPECTOR_ROOT + '/#'

const user = environment.EDGE_INSPECTOR_UI_USER
const passwordHash = environment.EDGE_INSPECTOR_UI_PASSWORD_HASH
const editorHash = environment.EDGE_INSPECTOR_UI_EDITOR_HASH
const host = environment.EDGE_INSPECTOR_UI_HOST

if (Boolean(user) !== Boolean(passwordHash)) {
  throw new Error('EDGE_INSPECTOR_UI_USER and EDGE_INSPECTOR_UI_PASSWORD_HASH: found one, expected both or neither')
}
if (passwordHash && !/^\$2[aby]\$\d\d\$.{53}$/.test(passwordHash)) {
  throw new Error('EDGE_INSPECTOR_UI_PASSWORD_HASH is not a bcrypt hash; make one with: npx node-red admin hash-pw')
}
if (!['127.0.0.1', '::1', 'localhost'].includes(host) && !passwordHash) {
  throw new Error(`EDGE_INSPECTOR_UI_HOST=${host} opens the dashboard to the network: set EDGE_INSPECTOR_UI_USER and `
    + 'EDGE_INSPECTOR_UI_PASSWORD_HASH too')
}

let lastGoodPassword = null // bcrypt takes 50 ms on purpose; every reconnect of every page would pay it

function mayEnter (authorization) {
  if (!passwordHash) return true
  const [scheme, encoded] = (authorization || '').split(' ')
  if (scheme !== 'Basic' || !encoded) return false
  const [name, ...rest] = Buffer.from(encoded, 'base64').toString().split(':')
  const password = rest.join(':')
  if (name !== user) return false
  if (lastGoodPassword !== null && password === lastGoodPassword) return true
  if (!bcrypt.compareSync(password, passwordHash)) return false
  lastGoodPassword = password
  return true
}

// httpNodeAuth guards the pages but leaves their socket open (measured: a 20-line client could press the buttons), so the
// socket asks for the same login; and a page of another origin in the operator's browser is not the operator.
function guardSocket (socket, next) {
  const { authorization, origin, host: asked } = socket.request.headers
  if (origin && origin !== `http://${asked}` && origin !== `https://${asked}`) return next(new Error('other origin'))
  return next(mayEnter(authorization) ? undefined : new Error('unauthorized'))
}

const POLICY = "default-src 'self'; script-src 'self' 'unsafe-eval' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
  + "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'none'; object-src 'none'; "
  + "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"

function guardPage (request, response, next) {
  response.set({ 'Content-Security-Policy': POLICY, 'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer' })
  if (request.path.startsWith('/_debug')) return response.sendStatus(404)
  return next()
}

module.exports = {
  flowFile: editorHash ? 'flows.json' : path.join(__dirname, 'flows.json'), // the editor works on a copy, see start.js
  flowFilePretty: true,
  credentialSecret: false, // flows_cred.json holds no secret, only the names of the two variables that do
  uiHost: host,
  uiPort: Number(environment.EDGE_INSPECTOR_UI_PORT),
  httpAdminRoot: editorHash ? '/editor' : false,
  disableEditor: !editorHash,
  ...(editorHash && {
    adminAuth: { type: 'credentials', users: [{ username: 'admin', password: editorHash, permissions: '*' }] },
  }),
  ...(passwordHash && { httpNodeAuth: { user, pass: passwordHash } }),
  dashboard: { maxHttpBufferSize: 100000, middleware: guardPage, ioMiddleware: guardSocket },
  telemetry: { enabled: false, updateNotification: false },
  diagnostics: { enabled: false, ui: false },
  runtimeState: { enabled: false, ui: false },
  externalModules: {
    autoInstall: false,
    palette: { allowInstall: false, allowUpdate: false, allowUpload: false },
    modules: { allowInstall: false },
  },
  functionExternalModules: false,
  functionTimeout: 5,
  functionGlobalContext: { labels: require('./labels.json') },
  exportGlobalContextKeys: false,
  mqttReconnectTime: 2000,
  logging: { console: { level: 'info', metrics: false, audit: false } },
  editorTheme: { tours: false, projects: { enabled: false } },
}
