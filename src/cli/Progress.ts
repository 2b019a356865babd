/**
 * How far a copy is: a line that changes on a terminal, and at the end one line that stays, on standard error.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { DirectoryProgress } from "../Directory.js"
import type { FileProgress } from "../Options.js"
import * as Output from "./Output.js"
import { visible } from "./PlainText.js"

/**
 * Counts what is copied.
 */
export interface Progress {
  /** The same pieces, counted as one file. */
  readonly counting: <E>(name: string, bytes: Stream.Stream<Uint8Array, E>) => Stream.Stream<Uint8Array, E>
  /** One file; what this gives is told how much of it has been copied. */
  readonly one: (name: string) => Effect.Effect<(progress: FileProgress) => Effect.Effect<void>>
  /** What has been done in the copying of a directory; `name` says what the user knows it by. */
  readonly told: (event: DirectoryProgress, name: string) => Effect.Effect<void>
  /** Says how much it was. */
  readonly finished: Effect.Effect<void>
}

const REDRAW_MS = 100

/** Begins the line anew (ECMA-48: EL). */
const CLEAR = "\r\u001b[K"

const units = ["bytes", "kB", "MB", "GB", "TB"] as const

/**
 * A number of bytes in words, with decimal units.
 */
export const size = (bytes: number): string => {
  const power = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3))
  return power === 0
    ? `${bytes} ${bytes === 1 ? "byte" : "bytes"}`
    : `${(bytes / 1000 ** power).toFixed(1)} ${units[power]}`
}

/**
 * Makes one, for one command.
 */
export const make: Effect.Effect<Progress> = Effect.sync(() => {
  const isShown = Output.isTerminal("stderr")
  let files = 0
  let bytes = 0
  let drawnAt = 0
  const clear = isShown ? Output.write("stderr", CLEAR) : Effect.void
  const draw = (name: string) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (!isShown || now - drawnAt < REDRAW_MS) {
        return Effect.void
      }
      drawnAt = now
      const text = `${size(bytes)}  ${visible(name)}`.slice(0, Math.max(0, (process.stderr.columns || 80) - 1))
      return Output.write("stderr", `${CLEAR}${text}`)
    })
  const skipped = (name: string, why: string) =>
    Effect.zipRight(clear, Output.line("stderr", `Left out ${visible(name)}: ${why}.`))
  return {
    counting: (name, stream) =>
      Stream.suspend(() => {
        files += 1
        return Stream.tap(stream, (piece) => {
          bytes += piece.length
          return draw(name)
        })
      }),
    one: (name) =>
      Effect.sync(() => {
        files += 1
        const before = bytes
        return (progress) => {
          bytes = before + progress.bytes
          return draw(name)
        }
      }),
    told: (event, name) =>
      Effect.suspend(() => {
        files = event.files
        bytes = event.bytes
        return event._tag === "Skipped" ? skipped(name, event.reason) : draw(name)
      }),
    finished: Effect.suspend(() =>
      Effect.zipRight(
        clear,
        Output.line("stderr", `Copied ${files} ${files === 1 ? "file" : "files"}, ${size(bytes)}.`)
      )
    )
  }
})
