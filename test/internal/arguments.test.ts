import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import * as fc from "fast-check"
import { isSandboxSDKError, type SandboxError, SandboxSDKError } from "../../src/Errors.js"
import {
  decodeArguments,
  decodeRunCodeOptions,
  decodeRunTerminalOptions,
  normalizeDirectory,
  normalizePath,
  requireCode,
  requireCommand,
  requireId
} from "../../src/internal/arguments.js"
import { sourceOf } from "../../src/internal/source.js"
import { CreateCodeContextOptions, CreateSandboxOptions, ListSandboxesOptions } from "../../src/Options.js"

const refusal = <A>(effect: Effect.Effect<A, SandboxSDKError | SandboxError>) => {
  const { code, field, message } = Effect.runSync(Effect.flip(effect))
  return { code, field, message }
}

describe("decodeArguments", () => {
  const create = decodeArguments(CreateSandboxOptions, "createSandbox")
  const runCode = (options: unknown) => decodeRunCodeOptions("runCode", options)

  it.each([
    [
      Effect.flatMap(create(undefined), sourceOf),
      "templateId",
      "createSandbox: templateId is missing; it must be the id of a template, such as \"python\" (or fromSnapshot that of a snapshot)."
    ],
    [
      Effect.flatMap(create({ templateId: "python", fromSnapshot: "snp_x" }), sourceOf),
      "fromSnapshot",
      "createSandbox: fromSnapshot and templateId cannot both be given: a snapshot has the template of its sandbox."
    ],
    [
      create({ templateId: "" }),
      "templateId",
      "createSandbox: templateId must be the id of a template, such as \"python\", but it is \"\"."
    ],
    [
      create({ templateId: "python", resources: { memoryMb: -1 } }),
      "resources.memoryMb",
      "createSandbox: resources.memoryMb must be a whole number of MiB from 64 to 1048576, but it is -1."
    ],
    [
      create({ templateId: "python", resources: { memory: 1 } }),
      "resources.memory",
      "createSandbox: resources has no property \"memory\"; it can have memoryMb, cpus, processes, diskMb, tmpMb, openFiles, fileSizeMb, outputMb, runTimeMs, idleTimeMs."
    ],
    [
      create({ templateId: "python", network: "all" }),
      "network",
      "createSandbox: network must be \"none\" or { allow: [\"host:port\", …] }, but it is \"all\"."
    ],
    [
      create({ templateId: "python", network: { allow: ["a.org:443", "a.org"] } }),
      "network.allow.1",
      "createSandbox: network.allow.1 must be a host and a port, such as \"example.org:443\", but it is \"a.org\"."
    ],
    [create("python"), "options", "createSandbox: options must be an object, but it is \"python\"."],
    [create(null), "options", "createSandbox: options must be an object, but it is null."],
    [
      create({ templateId: "python", initialEnvVars: { "1A": "secret" } }),
      "initialEnvVars.1A",
      "createSandbox: \"1A\" cannot be a name in initialEnvVars: a name must be letters, digits and underscores, " +
      "not beginning with a digit."
    ],
    [
      runCode({ timeoutMs: 1.5 }),
      "timeoutMs",
      "runCode: timeoutMs must be a whole number of milliseconds from 1 to 2147483647, but it is 1.5."
    ],
    [
      runCode({ timeoutMs: "1" }),
      "timeoutMs",
      "runCode: timeoutMs must be a whole number of milliseconds from 1 to 2147483647, but it is \"1\"."
    ],
    [
      runCode({ language: "ruby" }),
      "language",
      "runCode: language must be one of \"python\", \"javascript\", \"typescript\", \"bash\", but it is \"ruby\"."
    ],
    [
      runCode({ envs: { A: 1 } }),
      "envs.A",
      "runCode: envs.A must be a string without NUL characters, but it is 1."
    ],
    [
      runCode({ timeout: 5 }),
      "timeout",
      "runCode: options has no property \"timeout\"; it can have timeoutMs, requestTimeoutMs, maxOutputSize, envs, " +
      "detached, detachGraceMs, hold, contextId, language, onStdout, onStderr, onResult, onError, captureOutput."
    ],
    [runCode({ onStdout: "print" }), "onStdout", "runCode: onStdout must be a function, but it is \"print\"."],
    [
      decodeRunTerminalOptions("runTerminal", { onResult: () => {} }),
      "onResult",
      "runTerminal: options has no property \"onResult\"; it can have timeoutMs, requestTimeoutMs, maxOutputSize, envs, " +
      "detached, detachGraceMs, hold, cwd, mergeOutput, onStdout, onStderr."
    ],
    [
      decodeArguments(ListSandboxesOptions, "listSandboxes")({ page: 0 }),
      "page",
      "listSandboxes: page must be a whole number from 1 to 1000000, but it is 0."
    ],
    [
      decodeArguments(CreateCodeContextOptions, "createCodeContext")({ cwd: "" }),
      "cwd",
      "createCodeContext: cwd must be the path of a directory, but it is \"\"."
    ]
  ])("says what is wrong with which part (%#)", (effect, field, message) => {
    const error = Effect.runSync(Effect.flip<unknown, SandboxSDKError, never>(effect))
    expect(error).toBeInstanceOf(SandboxSDKError)
    expect(error._tag).toBe("SandboxSDKError")
    expect({ code: error.code, field: error.field, message: error.message })
      .toEqual({ code: "invalid_argument", field, message })
  })

  it("does not tell the value of an environment variable", () => {
    const { field, message } = refusal(create({ templateId: "python", initialEnvVars: { TOKEN: "hunter2\0" } }))
    expect(field).toBe("initialEnvVars.TOKEN")
    expect(message).not.toContain("hunter2")
  })

  it("cuts a long value short", () => {
    expect(refusal(runCode({ language: "x".repeat(100_000) })).message.length).toBeLessThan(300)
  })

  it("keeps callbacks apart from what is sent", () => {
    const onStdout = () => {}
    expect(Effect.runSync(runCode({ onStdout, captureOutput: false, timeoutMs: 5 }))).toEqual({
      stream: { timeoutMs: 5 },
      collect: { onStdout, captureOutput: false, onStderr: undefined, onResult: undefined, onError: undefined }
    })
  })

  it("accepts what the schemas accept, and never dies on anything", () => {
    fc.assert(fc.property(fc.anything(), (input) => {
      const exit = Effect.runSyncExit(create(input))
      // Nothing stands for no options.
      const accepted = Schema.decodeUnknownEither(CreateSandboxOptions)(input === undefined ? {} : input, {
        onExcessProperty: "error"
      })
      expect(Exit.isSuccess(exit)).toBe(accepted._tag === "Right")
      if (Exit.isFailure(exit)) {
        expect(exit.cause._tag === "Fail" && isSandboxSDKError(exit.cause.error)).toBe(true)
      }
    }))
  })
})

describe("single arguments", () => {
  it.each([undefined, null, 5, "", "  ", {}])("requireId refuses %j", (id) => {
    expect(refusal(requireId("runCode", id))).toMatchObject({ code: "invalid_argument", field: "id" })
  })

  it("names the field that is asked about", () => {
    expect(refusal(requireId("deleteCodeContext", "", "contextId"))).toEqual({
      code: "invalid_argument",
      field: "contextId",
      message: "deleteCodeContext: contextId must be a non-empty string, but it is \"\"."
    })
  })

  it.each([undefined, "", " \n\t", 1, ["ls"], "ls\0"])("requireCommand refuses %j", (command) => {
    expect(refusal(requireCommand("runTerminal", command))).toMatchObject({
      code: "invalid_argument",
      field: "command"
    })
  })

  it("a command is passed on as it was written", () => {
    expect(Effect.runSync(requireCommand("runTerminal", "  echo a \n"))).toBe("  echo a \n")
  })

  it("code may be empty, but must be a string", () => {
    expect(Effect.runSync(requireCode("runCode", ""))).toBe("")
    expect(refusal(requireCode("runCode", undefined))).toEqual({
      code: "invalid_argument",
      field: "code",
      message: "runCode: code must be a string, but it is undefined."
    })
  })
})

describe("normalizePath", () => {
  const normalize = (path: unknown) => Effect.runSync(normalizePath("readFile", path))

  it.each([
    ["a.txt", "/workspace/a.txt"],
    ["./a//b/", "/workspace/a/b"],
    [".", "/workspace"],
    ["/workspace", "/workspace"],
    ["/workspace/../workspace/x", "/workspace/x"],
    ["//workspace//x", "/workspace/x"],
    ["a/../b", "/workspace/b"],
    ["...", "/workspace/..."],
    ["~", "/workspace/~"],
    [" a ", "/workspace/ a "],
    ["a\\..\\b", "/workspace/a\\..\\b"],
    ["é/日本", "/workspace/é/日本"]
  ])("%j is %s", (path, expected) => {
    expect(normalize(path)).toBe(expected)
  })

  it.each(["..", "/", "/etc/passwd", "../workspace2/x", "/workspace2", "a/../../etc", "/workspace/..", "../../.."])(
    "%j leads out of the workspace",
    (path) => {
      const error = Effect.runSync(Effect.flip(normalizePath("readFile", path)))
      expect(error._tag).toBe("SandboxError")
      expect(error).toMatchObject({ code: "path_outside_workspace", field: "path" })
      expect(error.message).toContain("/workspace")
    }
  )

  it.each([
    undefined,
    null,
    1,
    "",
    "a\0b",
    "\0",
    "\ud800",
    "a/\udc00b",
    "x".repeat(256),
    "é".repeat(128),
    "ab/".repeat(1400)
  ])(
    "%j is no path",
    (path) => {
      expect(refusal(normalizePath("readFile", path))).toMatchObject({ code: "invalid_argument", field: "path" })
    }
  )

  it("takes names and paths that are just short enough", () => {
    expect(normalize("x".repeat(255))).toBe(`/workspace/${"x".repeat(255)}`)
    const rest = 4095 - "/workspace/".length
    const longest = "ab/".repeat(Math.floor(rest / 3)) + "c".repeat(rest % 3)
    expect(normalize(longest)).toBe(`/workspace/${longest}`)
    expect(refusal(normalizePath("readFile", `${longest}d`)).message).toContain("4096 bytes")
  })

  it("names the field that is asked about", () => {
    expect(refusal(normalizePath("moveFile", "..", "to")).field).toBe("to")
  })

  const segment = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom("..", ".", "", "workspace", "a", "b c", "é", "\0", "x".repeat(300), "\ud800")
    },
    { weight: 2, arbitrary: fc.string({ unit: "binary" }) }
  )
  const anyPath = fc.tuple(fc.boolean(), fc.array(segment, { maxLength: 12 })).map(([absolute, segments]) =>
    (absolute ? "/workspace/" : "") + segments.join("/")
  )

  it("gives the workspace or a place below it, normalised, and the same again for its result", () => {
    fc.assert(
      fc.property(anyPath, (path) => {
        const exit = Effect.runSyncExit(normalizePath("readFile", path))
        if (Exit.isSuccess(exit)) {
          const [, first, ...names] = exit.value.split("/")
          expect(first).toBe("workspace")
          for (const name of names) {
            expect(["", ".", ".."]).not.toContain(name)
            expect(name).not.toContain("\0")
            expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255)
          }
          expect(normalize(exit.value)).toBe(exit.value)
        } else {
          expect(exit.cause._tag === "Fail" && isSandboxSDKError(exit.cause.error)).toBe(true)
        }
      }),
      { numRuns: 2000 }
    )
  })

  it("agrees with a walk through the tree, name by name", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("..", ".", "", "a", "b", "workspace"), { minLength: 1 }), (segments) => {
        const at: Array<string> = ["workspace"]
        for (const name of segments) {
          if (name === "..") at.pop()
          else if (name !== "" && name !== ".") at.push(name)
        }
        const path = segments.join("/")
        fc.pre(path !== "" && !path.startsWith("/"))
        const exit = Effect.runSyncExit(normalizePath("readFile", path))
        expect(Exit.isSuccess(exit) ? exit.value : "outside").toBe(
          at[0] === "workspace" ? `/${at.join("/")}` : "outside"
        )
      }),
      { numRuns: 2000 }
    )
  })
})

describe("normalizeDirectory", () => {
  it("may be anywhere in the sandbox", () => {
    expect(Effect.runSync(normalizeDirectory("runTerminal", "/tmp/../usr/"))).toBe("/usr")
    expect(Effect.runSync(normalizeDirectory("runTerminal", "src"))).toBe("/workspace/src")
    expect(refusal(normalizeDirectory("runTerminal", "")).field).toBe("cwd")
  })
})
