// Read the subscription's own status: is there a broker?
const { fill } = msg.status || {}
const BROKER = { green: 'connected', yellow: 'connecting', red: 'disconnected' }
return { kind: 'broker', value: BROKER[fill] || 'disconnected' }
