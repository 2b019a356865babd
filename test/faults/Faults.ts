/**
 * What is done to a connection on its way.
 */
import type { Random } from "../support/random.js"

/** Which of the two flows of bytes it happens to: what the client sends, or what it is sent. */
export type Direction = "request" | "answer"

/** A fault that happens before the byte with this number, which counts over all connections of one exchange. */
interface At {
  readonly direction: Direction
  readonly at: number
}

/** Both sides are told that the connection has ended, in order. */
export interface Cut extends At {
  readonly kind: "cut"
}

/** Both sides are told that the connection is broken. */
export interface Reset extends At {
  readonly kind: "reset"
}

/** This direction ends, the other one stays open. */
export interface HalfClose extends At {
  readonly kind: "half-close"
}

/** Nothing is passed on for a while. */
export interface Delay extends At {
  readonly kind: "delay"
  readonly ms: number
}

/** These many bytes come one by one, so that no character of more than one is whole. */
export interface Split extends At {
  readonly kind: "split"
  readonly bytes: number
}

/** The same with a pause after each. */
export interface SlowLoris extends At {
  readonly kind: "slow-loris"
  readonly bytes: number
  readonly ms: number
}

/** Nothing is passed on any more, in both directions, and nobody is told. */
export interface Stall extends At {
  readonly kind: "stall"
}

/** A gateway answers in place of the server: without having asked it, or after what it said was lost. */
export interface Gateway {
  readonly kind: "502" | "503"
  readonly when: "before" | "after"
  /** In place of which answer of the exchange, from 0. */
  readonly request: number
}

/** The server gets a request twice. */
export interface Duplicate {
  readonly kind: "duplicate"
  /** When it gets the second one: with the first, a little later, or when the first has been answered. */
  readonly when: "at once" | "later" | "after"
  /** Which of the two answers the client gets. */
  readonly answer: "first" | "second"
  readonly request: number
}

export type AtFault = Cut | Reset | HalfClose | Delay | Split | SlowLoris | Stall

export type Fault = AtFault | Gateway | Duplicate

export const isAt = (fault: Fault): fault is AtFault => "at" in fault

/** A fault in a few words. */
export const describe = (fault: Fault): string =>
  isAt(fault)
    ? `${fault.kind} of the ${fault.direction} at ${fault.at}`
    : fault.kind === "duplicate"
    ? `request ${fault.request} twice, ${fault.when}, answered by the ${fault.answer}`
    : `${fault.kind} ${fault.when} request ${fault.request}`

/** What an exchange without faults took. */
export interface Size {
  readonly request: number
  readonly answer: number
}

const kinds: ReadonlyArray<Fault["kind"]> = [
  "cut",
  "reset",
  "half-close",
  "delay",
  "split",
  "slow-loris",
  "502",
  "503",
  "duplicate"
]

/** Some fault, somewhere in an exchange of this size. */
export const someFault = (random: Random, size: Size): Fault => {
  const kind = random.next() < 0.02 ? "stall" : random.pick(kinds)
  const direction = random.next() < 0.75 ? "answer" : "request"
  // Near the beginning as often as anywhere: that is where it matters whether something was begun.
  const most = random.next() < 0.3 ? Math.min(600, size[direction]) : size[direction]
  const place = { direction, at: random.below(most + 1) } as const
  switch (kind) {
    case "cut":
    case "reset":
    case "half-close":
    case "stall":
      return { kind, ...place }
    case "delay":
      return { kind, ...place, ms: 1 + random.below(150) }
    case "split":
      return { kind, ...place, bytes: 1 + random.below(3_000) }
    case "slow-loris":
      return { kind, ...place, bytes: 1 + random.below(100), ms: 1 + random.below(10) }
    case "502":
    case "503":
      return { kind, when: random.pick(["before", "after"]), request: random.below(2) }
    case "duplicate":
      return {
        kind,
        when: random.pick(["at once", "later", "after"]),
        answer: random.pick(["first", "second"]),
        request: random.next() < 0.8 ? 0 : 1
      }
  }
}
