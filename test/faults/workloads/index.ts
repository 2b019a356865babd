/**
 * What is run while things go wrong.
 */
import * as Batch from "./batch.js"
import * as Code from "./code.js"
import * as Files from "./files.js"
import * as Sandboxes from "./sandboxes.js"
import * as Terminal from "./terminal.js"
import type { Workload } from "./Workload.js"

/** Few bytes, for every one of them to be a place where something happens; the fewest first. */
export const small: ReadonlyArray<Workload> = [
  Terminal.tiny("command, fewest bytes"),
  Code.streamed("code, few bytes", "python", { lines: 3, long: 20 }),
  Terminal.streamed("command, few bytes", { lines: 3, long: 20 }),
  Batch.streamed("batch, few bytes", { lines: 1, long: 3 })
]

/** What takes a while, so that something can happen in the middle of it. */
export const slow: ReadonlyArray<Workload> = [
  Code.streamed("Python, line by line", "python", { lines: 40, paceMs: 8, long: 3_000 }),
  Code.streamed("JavaScript, line by line", "javascript", { lines: 40, paceMs: 8, long: 3_000 }),
  Code.streamed("bash, line by line", "bash", { lines: 40, paceMs: 5, long: 300 }),
  Terminal.streamed("command, line by line", { lines: 40, paceMs: 5, long: 300 }),
  Code.called("Python as a call", "python", { lines: 40, paceMs: 8, long: 3_000 })
]

/** All kinds of calls. */
export const all: ReadonlyArray<Workload> = [
  ...slow,
  Code.streamed("Python, much", "python", { lines: 20_000, long: 100_000 }),
  Code.streamed("TypeScript", "typescript", { lines: 200, long: 30_000 }),
  Code.streamed("a quiet run", "python", { lines: 4, quietMs: 700 }),
  Code.called("JavaScript as a call", "javascript", { lines: 100, long: 1_000 }),
  Terminal.streamed("command", { lines: 100, long: 1_000 }),
  Terminal.called("command as a call", { lines: 100, long: 1_000 }),
  Batch.streamed("batch", { lines: 50, long: 500 }),
  Batch.called("batch as a call", { lines: 50, long: 500 }),
  Files.upload("upload", 2_000),
  Files.uploadStream("upload of a stream", 2_000),
  Files.download("download", 2_000),
  Files.downloadStream("download as a stream", 2_000),
  Files.move("move"),
  Sandboxes.create("new sandbox")
]
