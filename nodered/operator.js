// OPERATOR.md as one page of HTML: headings, tables, lists, bold and links are all that it uses.
const escape = (text) => text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign])
const inline = (text) => escape(text).replace(/\*\*(.+?)\*\*/g, '<b>$1</b>').replace(/\[(.+?)\]\((#\w+)\)/g, '<a href="$2">$1</a>')
const row = (line) => `<tr>${line.slice(1, -1).split('|').map((cell) => `<td>${inline(cell.trim())}</td>`).join('')}</tr>`

function block (text) {
  const lines = text.split('\n')
  const heading = /^(#+) (.*)/.exec(text)
  if (heading) {
    const [, { length }, words] = heading
    return `<h${length} id="${words.toLowerCase()}">${inline(words)}</h${length}>` + (lines.length > 1 ? block(lines.slice(1).join('\n')) : '')
  }
  if (lines[0].startsWith('|')) return `<table>${lines.filter((line) => !/^[|-]+$/.test(line)).map(row).join('')}</table>`
  const items = lines.filter((line) => /^\d+\. /.test(line)).map((line) => `<li>${inline(line.replace(/^\d+\. /, ''))}</li>`)
  const words = lines.filter((line) => !/^\d+\. /.test(line)).map((line) => `<p>${inline(line)}</p>`)
  return words.join('') + (items.length ? `<ol>${items.join('')}</ol>` : '')
}

const STYLE = 'body{max-width:800px;margin:24px auto;padding:0 16px;font:18px/1.5 "DejaVu Sans",sans-serif;color:#16202b;background:#fff}'
  + 'td{padding:6px 12px 6px 0;vertical-align:top;border-top:1px solid #ccd3da}h2{border-top:4px solid #1669b2;padding-top:12px}p{margin:10px 0}'

module.exports = (markdown) => '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
  + `<title>edge-inspector</title><style>${STYLE}</style>${markdown.trim().split(/\n\n+/).map(block).join('\n')}`
