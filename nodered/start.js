// Start the dashboard: node start.js [FOLDER]. Node-RED keeps its own files in FOLDER; nothing is written beside this file.
const fs = require('fs')
const os = require('os')
const path = require('path')

const folder = path.resolve(process.argv[2] || process.env.EDGE_INSPECTOR_UI_DIR || path.join(os.homedir(), '.local/state/edge-inspector/dashboard'))
fs.mkdirSync(folder, { recursive: true })
fs.copyFileSync(path.join(__dirname, 'flows_cred.json'), path.join(folder, 'flows_cred.json')) // Node-RED looks for it nowhere else
const edited = path.join(folder, 'flows.json')
if (process.env.EDGE_INSPECTOR_UI_EDITOR_HASH && !fs.existsSync(edited)) fs.copyFileSync(path.join(__dirname, 'flows.json'), edited)

process.argv.splice(2, Infinity, '--settings', path.join(__dirname, 'settings.js'), '--userDir', folder)
require('node-red/red.js')
