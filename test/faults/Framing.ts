/**
 * Where one request of HTTP/1.1 ends (RFC 9112, 6), as its bytes come.
 */

const HEAD_END = Buffer.from("\r\n\r\n")
const LAST_CHUNK = Buffer.from("0\r\n\r\n")

/** A head that says that no further request comes on this connection. */
const closing = (head: string): string => {
  const lines = head.split("\r\n").filter((line) => !/^connection:/i.test(line))
  return [...lines, "connection: close"].join("\r\n")
}

/**
 * The bytes of the one request that a connection is used for. It ends when the request is complete; a connection that
 * ends earlier makes it `broken`.
 */
export const requestOf = (pieces: AsyncIterator<Buffer>) => {
  let complete = false
  const read = async function*(): AsyncGenerator<Buffer> {
    let head: Buffer = Buffer.alloc(0)
    let end = -1
    while (end < 0) {
      const piece = await pieces.next()
      if (piece.done === true) return
      head = Buffer.concat([head, piece.value])
      end = head.indexOf(HEAD_END)
    }
    const text = head.subarray(0, end).toString("latin1")
    let rest: Buffer = head.subarray(end + HEAD_END.length)
    yield Buffer.from(`${closing(text)}\r\n\r\n`, "latin1")
    const isChunked = /^transfer-encoding:.*chunked/im.test(text)
    let left = Number(/^content-length:\s*(\d+)/im.exec(text)?.[1] ?? 0)
    let tail: Buffer = Buffer.alloc(0)
    for (;;) {
      if (rest.length > 0) {
        yield rest
        left -= rest.length
        tail = Buffer.concat([tail, rest]).subarray(-LAST_CHUNK.length)
      }
      if (isChunked ? tail.equals(LAST_CHUNK) : left <= 0) break
      const piece = await pieces.next()
      if (piece.done === true) return
      rest = piece.value
    }
    complete = true
  }
  return { bytes: read(), isComplete: () => complete }
}
