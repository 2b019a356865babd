/**
 * What a program asks for by name is there, or no sandbox is made.
 */
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { Guarantee } from "../../src/isolation/Guarantee.js"
import { Isolation } from "../../src/isolation/Isolation.js"
import * as None from "../../src/isolation/None.js"
import { requiring } from "../../src/isolation/Require.js"
import { layerLocal } from "../../src/local.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"

const FOUND: ReadonlyArray<Guarantee> = [
  { id: "network", title: "No network", holds: true, mechanism: "network namespace" },
  {
    id: "memory",
    title: "Memory is limited",
    holds: true,
    soft: true,
    mechanism: "each process alone",
    detail: "no control groups",
    fix: "become root"
  }
]

/** An isolation that finds this and starts nothing. */
const finding = Layer.provide(
  Layer.effect(Isolation, Effect.map(Isolation, (none) => ({ ...none, check: Effect.succeed(FOUND) }))),
  None.layer
)

const checkWith = (...ids: ReadonlyArray<string>) =>
  Effect.flatMap(Isolation, ({ check }) => check).pipe(Effect.provide(requiring(ids)(finding)))

it.effect("passes what is enforced, and what nobody asked for", () =>
  Effect.gen(function*() {
    expect(yield* checkWith()).toEqual(FOUND)
    expect(yield* checkWith("network")).toEqual(FOUND)
  }))

it.effect("refuses what is only watched, and says what would help", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(checkWith("network", "memory"))
    expect(error).toMatchObject({ _tag: "SandboxError", code: "isolation_unavailable" })
    expect(error.message).toContain(
      "Memory is limited: only each process alone (no control groups). To help: become root"
    )
    expect(error.message).not.toContain("No network")
  }))

it.effect("refuses a name that it does not know, and says which there are", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(checkWith("gravity"))
    expect(error.message).toContain("no guarantee \"gravity\"; it knows network, memory")
  }))

it.effect("refuses everything without isolation", () =>
  Effect.gen(function*() {
    const isolation = Effect.provide(Isolation, requiring(["network"])(None.layer))
    const error = yield* Effect.flip(Effect.flatMap(isolation, ({ check }) => check))
    expect(error).toMatchObject({ _tag: "SandboxError", code: "isolation_unavailable" })
  }))

it.live("makes no sandbox where what is required is not there", () =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const error = yield* Effect.flip(sdk.createSandbox({ templateId: "python" }))
    expect(error).toMatchObject({ _tag: "SandboxError", code: "isolation_unavailable" })
  }).pipe(Effect.provide(layerLocal({ require: ["gravity"] }))))

it.live("makes one where all that is required is enforced", () =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const { sandbox } = yield* sdk.createSandbox({ templateId: "python" })
    expect(sandbox.status).toBe("ready")
  }).pipe(Effect.provide(layerLocal({ require: ["network", "system-calls"] }))))
