import { describe, expect, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Exit, FastCheck as fc, Schema } from "effect"
import {
  AnySandboxSDKError,
  ConnectionError,
  ExecutionError,
  isSandboxSDKError,
  RateLimitError,
  RequestError,
  SandboxError,
  SandboxSDKError,
  TimeoutError,
  TypeId
} from "../src/Errors.js"
import { Execution } from "../src/Execution.js"

const execution = new Execution({ results: [], logs: { stdout: ["a\n"], stderr: [] } })

const six = [
  new SandboxSDKError({ message: "bad", code: "invalid_argument", field: "timeoutMs" }),
  new ExecutionError({ message: "ValueError: no", name: "ValueError", value: "no", traceback: "line 1", execution }),
  new ConnectionError({ message: "refused", url: "http://localhost:3000", cause: new Error("ECONNREFUSED") }),
  new TimeoutError({ message: "late", timeoutMs: 5, operation: "execution", contextRestarted: true, execution }),
  new SandboxError({ message: "gone", code: "not_found", sandboxId: "s1" }),
  new RateLimitError({ message: "slow down", retryAfter: 1_000, limit: 60, remaining: 0 })
] as const

const classes = { SandboxSDKError, ExecutionError, ConnectionError, TimeoutError, SandboxError, RateLimitError }

describe.each(six.map((error) => [error._tag, error] as const))("%s", (tag, error) => {
  it("is a real error with its message and its stack", () => {
    expect(error).toBeInstanceOf(Error)
    expect(error.message).not.toBe("")
    expect(String(error)).toContain(error.message)
    expect(error.stack).toContain("Errors.test.ts")
    expect(Object.prototype.hasOwnProperty.call(error, "stack")).toBe(true)
  })

  it("is an instance of SandboxSDKError, of its own class, and of no other of the six", () => {
    for (const [name, type] of Object.entries(classes)) {
      expect(error instanceof type).toBe(name === tag || name === "SandboxSDKError")
    }
    expect(isSandboxSDKError(error)).toBe(true)
  })

  it("is caught by its tag alone", () => {
    const failing: Effect.Effect<never, AnySandboxSDKError> = Effect.fail(error)
    const caught = Effect.catchTags(failing, {
      SandboxSDKError: (e) => Effect.succeed([e._tag, e] as const),
      ExecutionError: (e) => Effect.succeed([e._tag, e] as const),
      ConnectionError: (e) => Effect.succeed([e._tag, e] as const),
      TimeoutError: (e) => Effect.succeed([e._tag, e] as const),
      SandboxError: (e) => Effect.succeed([e._tag, e] as const),
      RateLimitError: (e) => Effect.succeed([e._tag, e] as const)
    })
    expect(Effect.runSync(caught)).toEqual([tag, error])
  })

  it("fails an effect when it is yielded", () => {
    const exit = Effect.runSyncExit(Effect.gen(function*() {
      return yield* error
    }))
    expect(Exit.isFailure(exit) && Cause.failureOption(exit.cause)).toMatchObject({ _tag: "Some", value: error })
  })

  it("goes through JSON and stays what it is", () => {
    const text = JSON.stringify(Schema.encodeSync(AnySandboxSDKError)(error))
    expect(JSON.parse(text)).toMatchObject({ _tag: tag, message: error.message })
    const back = Schema.decodeUnknownSync(AnySandboxSDKError)(JSON.parse(text))
    expect(back).toBeInstanceOf(classes[tag])
    expect(back).toBeInstanceOf(SandboxSDKError)
    expect(back.message).toBe(error.message)
    expect(JSON.stringify(Schema.encodeSync(AnySandboxSDKError)(back))).toBe(text)
  })

  it("JSON.stringify shows its message", () => {
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({ _tag: tag, message: error.message })
  })
})

describe("the union", () => {
  it("every error that can be made survives the wire, in its own class", () => {
    fc.assert(
      fc.property(Arbitrary.make(AnySandboxSDKError), (error) => {
        const encode = Schema.encodeSync(AnySandboxSDKError)
        const text = JSON.stringify(encode(error))
        const back = Schema.decodeUnknownSync(AnySandboxSDKError, { onExcessProperty: "error" })(JSON.parse(text))
        expect(back._tag).toBe(error._tag)
        expect(back).toBeInstanceOf(classes[error._tag])
        expect(back.message).toBe(error.message)
        expect(JSON.stringify(encode(back))).toBe(text)
      }),
      { numRuns: 300 }
    )
  })

  it("a cause keeps its name and message", () => {
    const cause = new TypeError("fetch failed")
    const error = new ConnectionError({ message: "m", url: "u", cause })
    const back = Schema.decodeUnknownSync(AnySandboxSDKError)(
      JSON.parse(JSON.stringify(Schema.encodeSync(AnySandboxSDKError)(error)))
    )
    expect(back._tag === "ConnectionError" && back.cause).toMatchObject({ name: "TypeError", message: "fetch failed" })
  })

  it("RequestError has no place for what the code raised", () => {
    const encoded = Schema.encodeSync(AnySandboxSDKError)(six[1])
    expect(Schema.decodeUnknownEither(RequestError)(encoded)._tag).toBe("Left")
    for (const error of six) {
      if (error._tag !== "ExecutionError") {
        const back = Schema.decodeUnknownSync(RequestError)(Schema.encodeSync(RequestError)(error))
        expect(back._tag).toBe(error._tag)
      }
    }
  })

  it.each([
    { _tag: "SandboxError", message: "m", code: "no_such_code" },
    { _tag: "RateLimitError", message: "m" },
    { _tag: "TimeoutError", message: "m", timeoutMs: "5", operation: "execution" },
    { _tag: "Error", message: "m" },
    { message: "m" }
  ])("%j is none of them", (input) => {
    expect(Schema.decodeUnknownEither(AnySandboxSDKError)(input)._tag).toBe("Left")
  })
})

describe("membership", () => {
  it.each([new Error("x"), new TypeError("x"), {}, { _tag: "SandboxError" }, null, undefined, "SandboxError", 5])(
    "%s is no error of the SDK",
    (value) => {
      expect(value instanceof SandboxSDKError).toBe(false)
      expect(isSandboxSDKError(value)).toBe(false)
    }
  )

  it("goes by a brand that all copies of the package share", () => {
    expect(TypeId).toBe(Symbol.for("sandbox-sdk/SandboxSDKError"))
    const foreign = Object.assign(new Error("from another copy"), {
      [Symbol.for("sandbox-sdk/SandboxSDKError")]: Symbol.for("sandbox-sdk/SandboxSDKError"),
      _tag: "TimeoutError"
    })
    expect(foreign instanceof SandboxSDKError).toBe(true)
    expect(foreign instanceof TimeoutError).toBe(false)
  })

  it("narrows to the union, so that a switch over the tags is whole", () => {
    const describeError = (u: unknown): string => {
      if (!(u instanceof SandboxSDKError)) return "other"
      switch (u._tag) {
        case "SandboxSDKError":
        case "SandboxError":
          return u.code
        case "ExecutionError":
          return u.name
        case "ConnectionError":
          return u.url
        case "TimeoutError":
          return u.operation
        case "RateLimitError":
          return String(u.retryAfter)
      }
    }
    expect(six.map(describeError)).toEqual([
      "invalid_argument",
      "ValueError",
      "http://localhost:3000",
      "execution",
      "not_found",
      "1000"
    ])
  })
})
