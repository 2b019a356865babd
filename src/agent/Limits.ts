/**
 * The sizes and numbers that the two sides of `Protocol` keep to.
 */

/** Longest header that is accepted from an agent, in bytes. */
export const MAX_HEADER_BYTES = 1024 * 1024

/** Longest blob that is accepted from an agent, in bytes. */
export const MAX_BLOB_BYTES = 64 * 1024 * 1024

/** How many bytes of output a run may have in flight, in bytes. */
export const OUTPUT_WINDOW = 2 * 1024 * 1024

/** How many bytes of standard input a process may have in flight, in bytes. */
export const STDIN_WINDOW = 256 * 1024

/** How many bytes of a file may be in flight, in bytes. */
export const FILE_WINDOW = 2 * 1024 * 1024

/** How many bytes of events about files may be in flight, in bytes. */
export const WATCH_WINDOW = 256 * 1024

/** How many bytes of one connection may be in flight in one direction, in bytes. */
export const NET_WINDOW = 128 * 1024

/** What a frame of a connection takes of its credit beside its bytes. */
export const NET_FRAME_COST = 256

/** Connections of one sandbox to the outside at a time; further ones are refused. */
export const NET_CONNECTIONS = 128

/** Connections from the outside to the ports of one sandbox at a time; further ones are refused. */
export const PORT_CONNECTIONS = 256

/** Where the proxy of a sandbox listens, on its own loopback: a TCP port. */
export const PROXY_PORT = 3128

/** Files and uploads from this size on are lent to the engine, where it can take them, in bytes. */
export const LEND_FROM = 1024 * 1024
