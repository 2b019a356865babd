import { Effect } from "effect"
import * as Fs from "node:fs/promises"

/** The processes of this machine whose command line has this text. */
export const processesWith = (text: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(async () => {
    const pids = (await Fs.readdir("/proc")).filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    const lines = await Promise.all(
      pids.map((pid) => Fs.readFile(`/proc/${pid}/cmdline`, "utf8").then((line) => ({ pid, line }), () => undefined))
    )
    // A program that was only told the text is not one that goes by it.
    return lines.flatMap((entry) => entry?.line.startsWith(`${text}\0`) === true ? [entry.pid] : [])
  })
