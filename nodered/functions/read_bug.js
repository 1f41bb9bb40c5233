// Read an exception of one of these functions.
const { message, source } = msg.error || {}
return { kind: 'problem', station: '', value: { topic: String((source && source.name) || 'flow'), what: String(message).slice(0, 200) } }
