// Build flows.json from functions/ (what runs in Node-RED), pages/ and shell/ (what runs in the browser): node build.js [FILE]
const fs = require('fs')
const path = require('path')
const asPage = require('./operator.js')

const read = (...names) => fs.readFileSync(path.join(__dirname, ...names), 'utf8').trimEnd()

// A page says "include shell/header.html" in a comment; the file takes the comment's place.
const readPage = (name) => read('pages', name).replace(/(?:\/\/|<!--|\/\*) include (\S+)(?: -->| \*\/)?/g, (_, file) => read(...file.split('/')))

const TAB = 'ei_flow'
const nodes = []
const add = (id, type, properties) => nodes.push({ id, type, ...properties })
const addFunction = (id, name, outputs, x, y, wires) => add(id, 'function', {
  z: TAB, name, func: read('functions', `${id.slice(3)}.js`), outputs, timeout: 0, noerr: 0, initialize: '', finalize: '', libs: [], x, y, wires,
})

add(TAB, 'tab', { label: 'edge-inspector', disabled: false, info: 'Built by build.js from functions/, pages/ and shell/.' })
add('ei_broker', 'mqtt-broker', {
  name: 'plant broker', broker: '${EDGE_INSPECTOR_MQTT_URL}', port: '', clientid: '', autoConnect: true, usetls: true, tls: 'ei_tls',
  protocolVersion: '${EDGE_INSPECTOR_MQTT_VERSION}', keepalive: '5', cleansession: true, autoUnsubscribe: true,
  birthTopic: '', birthQos: '0', birthRetain: 'false', birthPayload: '', birthMsg: {},
  closeTopic: '', closeQos: '0', closeRetain: 'false', closePayload: '', closeMsg: {},
  willTopic: '', willQos: '0', willRetain: 'false', willPayload: '', willMsg: {}, userProps: '', sessionExpiry: '',
})
// Without it Node-RED would speak TLS to anybody: the broker's certificate is checked (measured).
add('ei_tls', 'tls-config', {
  name: 'plant CA', cert: '${EDGE_INSPECTOR_MQTT_CERT}', key: '${EDGE_INSPECTOR_MQTT_KEY}', ca: '${EDGE_INSPECTOR_MQTT_CA}',
  certname: '', keyname: '', caname: '', servername: '', verifyservercert: true, alpnprotocol: '',
})

// From the broker to what is known of the line
add('ei_subscription', 'mqtt in', {
  z: TAB, name: 'everything below the root', topic: '${EDGE_INSPECTOR_SUBSCRIPTION}', qos: '1', datatype: 'buffer', broker: 'ei_broker',
  nl: false, rap: false, rh: 0, inputs: 0, x: 150, y: 80, wires: [['ei_read_message']],
})
addFunction('ei_read_message', 'read message', 1, 390, 80, [['ei_keep_stations']])
add('ei_broker_status', 'status', { z: TAB, name: 'broker', scope: ['ei_subscription'], x: 110, y: 140, wires: [['ei_read_status']] })
addFunction('ei_read_status', 'read status', 1, 390, 140, [['ei_keep_stations']])
addFunction('ei_keep_stations', 'keep stations', 0, 640, 80, [])

// From what is known to the pages
add('ei_tick', 'inject', {
  z: TAB, name: 'five times a second', props: [], repeat: '0.2', crontab: '', once: true, onceDelay: '0.1', topic: '', x: 150, y: 240,
  wires: [['ei_show_stations']],
})
const PAGES = [['line', 'Line', 'view-dashboard-outline'], ['history', 'History', 'chart-line'], ['control', 'Control', 'gesture-tap'], ['alarms', 'Alarms', 'bell-outline']]
addFunction('ei_show_stations', 'show stations', 2, 390, 240, [PAGES.map(([page]) => `ei_page_${page}`), ['ei_page_history']])

// From a page to the daemon
addFunction('ei_answer_page', 'answer page', 2, 950, 240, [['ei_show_stations'], ['ei_commands']])
add('ei_commands', 'mqtt out', {
  z: TAB, name: 'commands', topic: '', qos: '', retain: '', respTopic: '', contentType: '', userProps: '', correl: '', expiry: '',
  broker: 'ei_broker', x: 1160, y: 240, wires: [],
})

// Images, and the way in
add('ei_picture_request', 'http in', {
  z: TAB, name: 'picture', url: '/picture/:station/:id', method: 'get', upload: false, swaggerDoc: '', x: 110, y: 440, wires: [['ei_find_picture']],
})
addFunction('ei_find_picture', 'find image', 1, 390, 440, [['ei_answer']])
add('ei_root_request', 'http in', { z: TAB, name: 'start', url: '/', method: 'get', upload: false, swaggerDoc: '', x: 110, y: 500, wires: [['ei_redirect']] })
add('ei_redirect', 'change', {
  z: TAB, name: 'to the line page', x: 390, y: 500, wires: [['ei_answer']], rules: [
    { t: 'set', p: 'statusCode', pt: 'msg', to: '302', tot: 'num' },
    { t: 'set', p: 'headers', pt: 'msg', to: '{"Location":"/dashboard/line"}', tot: 'json' },
    { t: 'set', p: 'payload', pt: 'msg', to: '', tot: 'str' }],
})
add('ei_operator_request', 'http in', { z: TAB, name: 'operator', url: '/operator', method: 'get', upload: false, swaggerDoc: '', x: 110, y: 620, wires: [['ei_operator']] })
add('ei_operator', 'change', {
  z: TAB, name: 'OPERATOR.md', x: 390, y: 620, wires: [['ei_answer']], rules: [
    { t: 'set', p: 'headers', pt: 'msg', to: JSON.stringify({
      'Content-Type': 'text/html; charset=utf-8', 'X-Content-Type-Options': 'nosniff',
      'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    }), tot: 'json' },
    { t: 'set', p: 'payload', pt: 'msg', to: asPage(read('OPERATOR.md')), tot: 'str' }],
})
add('ei_answer', 'http response', { z: TAB, name: '', statusCode: '', headers: {}, x: 640, y: 460, wires: [] })

// An exception in a function is a bug of ours; it is shown like a message that cannot be read.
add('ei_catch', 'catch', { z: TAB, name: 'bugs', scope: null, uncaught: false, x: 110, y: 560, wires: [['ei_read_bug']] })
addFunction('ei_read_bug', 'read bug', 1, 390, 560, [['ei_keep_stations']])

// The pages
add('ei_ui', 'ui-base', {
  name: 'edge-inspector', path: '/dashboard', appIcon: '', includeClientData: true,
  acceptsClientConfig: ['ui-notification', 'ui-control', 'ui-template'], showPathInSidebar: false, headerContent: 'none', navigationStyle: 'none',
  titleBarStyle: 'hidden', showReconnectNotification: false, notificationDisplayTime: 1, showDisconnectNotification: false, allowInstall: false,
})
add('ei_theme', 'ui-theme', {
  name: 'edge-inspector', colors: { surface: '#10161c', primary: '#2f81c7', bgPage: '#10161c', groupBg: '#10161c', groupOutline: '#10161c' },
  sizes: { density: 'default', pagePadding: '0px', groupGap: '0px', groupBorderRadius: '0px', widgetGap: '0px' },
})
PAGES.forEach(([page, name, icon], index) => {
  add(`ei_ui_${page}`, 'ui-page', {
    name, ui: 'ei_ui', path: `/${page}`, icon, layout: 'grid', theme: 'ei_theme', breakpoints: [{ name: 'Default', px: '0', cols: '12' }],
    order: index + 1, className: 'ei-page', visible: 'true', disabled: 'false',
  })
  add(`ei_group_${page}`, 'ui-group', {
    name, page: `ei_ui_${page}`, width: '12', height: '1', order: 1, showTitle: false, className: '', visible: 'true', disabled: 'false', groupType: 'default',
  })
  add(`ei_page_${page}`, 'ui-template', {
    z: TAB, group: `ei_group_${page}`, page: '', ui: '', name, order: 1, width: '12', height: '1', head: '', format: readPage(`${page}.vue`) + '\n',
    storeOutMessages: false, passthru: false, resendOnRefresh: false, templateScope: 'local', className: '', x: 640, y: 200 + index * 40,
    wires: [['ei_answer_page']],
  })
})

fs.writeFileSync(process.argv[2] || path.join(__dirname, 'flows.json'), JSON.stringify(nodes, null, 2) + '\n')
