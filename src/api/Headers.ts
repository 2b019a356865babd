/**
 * Header fields of this interface that are in no standard.
 */

/**
 * Every answer of a server has it that knows requests again by their `Idempotency-Key`, and so never carries one out twice
 * that is made again. Its value is `honoured`.
 *
 * @category headers
 */
export const IDEMPOTENCY = "sandbox-idempotency"

/**
 * In an answer that is a stream: within how many milliseconds something of it comes, be it a sign of life only.
 *
 * @category headers
 */
export const HEARTBEAT = "sandbox-heartbeat"

/**
 * In a request for events: end the answer after about so many bytes of them (0: at once), or after some time, with the
 * record `Continues`. The events after that are asked for by another request.
 *
 * @category headers
 */
export const SEGMENT = "sandbox-segment"

/**
 * In requests for segments: a name of who reads, the same in all of them. What has been sent under a name is kept until
 * the next request under it says by its `after` what has arrived.
 *
 * @category headers
 */
export const READER = "sandbox-reader"

/**
 * In an answer that is the content of a file: how many bytes the file had when it began. With fewer, it has broken off:
 * where it says `Connection: close`, there are clients of HTTP (undici) that take what has come for all of it.
 *
 * @category headers
 */
export const FILE_SIZE = "sandbox-file-size"
