/**
 * The bytes inside an `aws-chunked` body: `<hex length>[;extension]\r\n<bytes>\r\n`, again and again, a length of 0 and
 * trailers. Throws when the framing is broken.
 */
export function unframe(framed: Buffer): Buffer {
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const lineEnd = framed.indexOf('\r\n', at)
    if (lineEnd < 0) throw new Error('aws-chunked: a chunk without a header')
    const length = Number.parseInt(framed.toString('latin1', at, lineEnd), 16)
    if (!Number.isInteger(length)) throw new Error('aws-chunked: a chunk without a length')
    if (length === 0) return Buffer.concat(chunks)
    const start = lineEnd + 2
    if (start + length + 2 > framed.length) throw new Error('aws-chunked: a chunk is cut short')
    chunks.push(framed.subarray(start, start + length))
    at = start + length + 2
  }
}
