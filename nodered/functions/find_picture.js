// Serve the image of one part, by station and id: what has this address never shows another part.
const line = flow.get('line')
const station = line && line.stations.get(msg.req.params.station)
const id = msg.req.params.id
const jpeg = station && (station.pictures.get(id) || station.defect_pictures.get(id))
msg.headers = { 'X-Content-Type-Options': 'nosniff', 'Content-Type': jpeg ? 'image/jpeg' : 'text/plain' }
if (jpeg) msg.headers['Cache-Control'] = 'private, max-age=86400, immutable'
msg.statusCode = jpeg ? 200 : 404
msg.payload = jpeg || 'no image of this part'
return msg
