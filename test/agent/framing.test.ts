import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as FastCheck from "fast-check"
import { Buffer } from "node:buffer"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assets } from "../../src/agent/Assets.js"
import { startAgent } from "./harness.js"

const decodeJson = Schema.decodeUnknownSync(Schema.parseJson())
const decodeArray = Schema.decodeUnknownSync(Schema.parseJson(Schema.Array(Schema.Unknown)))
const source = Path.resolve(import.meta.dirname, "../../src/agent")

const frame = (header: string, blob: Uint8Array): Buffer => {
  const body = Buffer.from(header)
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32LE(body.length, 0)
  lengths.writeUInt32LE(blob.length, 4)
  return Buffer.concat([lengths, body, blob])
}

/** Feeds pieces to the agent's decoder and gives what it makes of them; `null` at the end for a refusal. */
const decode = (pieces: ReadonlyArray<Buffer>, limits = "1 << 20, 1 << 26"): ReadonlyArray<unknown> => {
  const program = [
    "import sys, types, json",
    `package = types.ModuleType("sandbox_agent"); package.__path__ = [${JSON.stringify(source)}]`,
    "sys.modules['sandbox_agent'] = package; sys.dont_write_bytecode = True",
    "from sandbox_agent.framing import Decoder, FramingError",
    `decoder = Decoder(${limits}); found = []`,
    "try:",
    "  for piece in json.load(sys.stdin):",
    "    for header, blob in decoder.feed(bytes.fromhex(piece)): found.append([header, blob.hex()])",
    "except FramingError: found.append(None)",
    "print(json.dumps(found))"
  ].join("\n")
  const result = spawnSync("/usr/bin/python3", ["-I", "-c", program], {
    input: JSON.stringify(pieces.map((piece) => piece.toString("hex"))),
    maxBuffer: 1 << 28
  })
  return decodeArray(result.stdout.toString())
}

const frames = FastCheck.array(
  FastCheck.tuple(
    FastCheck.dictionary(FastCheck.string(), FastCheck.jsonValue()),
    FastCheck.uint8Array({ maxLength: 300 })
  ),
  { maxLength: 6 }
)

describe("the agent's framing", () => {
  it("gives the same frames however the stream was cut", () => {
    FastCheck.assert(
      FastCheck.property(frames, FastCheck.array(FastCheck.nat(), { maxLength: 20 }), (messages, cuts) => {
        const stream = Buffer.concat(messages.map(([header, blob]) => frame(JSON.stringify(header), blob)))
        const places = [0, ...cuts.map((cut) => cut % (stream.length + 1)), stream.length].sort((a, b) => a - b)
        const pieces = places.slice(1).map((end, index) => stream.subarray(places[index], end))
        expect(decode(pieces)).toEqual(
          messages.map(([header, blob]) => [decodeJson(JSON.stringify(header)), Buffer.from(blob).toString("hex")])
        )
      }),
      { numRuns: 40 }
    )
  })

  it("refuses what is no frame, before it is stored", () => {
    expect(decode([frame("{}", Buffer.alloc(10))], "100, 9")).toEqual([null])
    expect(decode([frame(`{"a":"${"x".repeat(100)}"}`, Buffer.alloc(0))], "100, 9")).toEqual([null])
    for (const header of ["", "[]", "1", "{", "\u0000", "nul", "[".repeat(100_000)]) {
      expect([header, decode([frame(header, Buffer.alloc(0))])]).toEqual([header, [null]])
    }
    expect(decode([Buffer.from("ffffffff00000000", "hex")])).toEqual([null])
    expect(decode([frame("{\"a\":1}", Buffer.from("b")), Buffer.from("02000000", "hex")])).toEqual([[{ a: 1 }, "62"]])
  })

  it.scoped("works with the real agent byte by byte", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.number()
      const message = JSON.stringify({
        op: "command",
        run,
        cwd: "/workspace",
        env: { X: "é" },
        merge: false,
        credit: 99
      })
      for (const byte of frame(message, Buffer.from("echo $X"))) {
        agent.stream.write(Buffer.from([byte]))
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      expect((yield* agent.outcome(run)).stdout.toString()).toBe("é\n")
    }))
})

describe("the assets", () => {
  it("are all there, as text", () => {
    const names = Fs.readdirSync(source).filter((name) => name.endsWith(".py"))
    expect(Object.keys(assets).sort()).toEqual([...names, "agent.cjs", "kernel.bash", "kernel.cjs", "proxy.cjs"].sort())
    for (const name of names) {
      expect(assets[name]).toBe(Fs.readFileSync(Path.join(source, name), "utf8"))
    }
    expect(assets["kernel.cjs"]?.length).toBeGreaterThan(1000)
  })
})
