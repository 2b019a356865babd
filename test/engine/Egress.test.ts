/**
 * What a sandbox may reach, with an outside that the test makes up: no name is looked up and nothing is connected to.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Option, TestClock } from "effect"
import { Socket } from "node:net"
import * as Egress from "../../src/engine/Egress.js"
import { check, type NetworkPolicy } from "../../src/engine/NetworkPolicy.js"
import { SocketError, type SocketsService } from "../../src/engine/Sockets.js"
import { failsWith } from "../conformance/support.js"

const OWN = "198.41.0.9"

/** Each lookup of a name takes the next of its answers, the last one for ever. */
const makeOutside = (names: Readonly<Record<string, ReadonlyArray<ReadonlyArray<string>>>>) => {
  const asked: Array<string> = []
  const connected: Array<string> = []
  const silent = new Set<string>()
  const refusing = new Set<string>()
  const sockets: SocketsService = {
    lookup: (name) =>
      Effect.suspend(() => {
        const answers = names[name] ?? []
        const answer = answers[Math.min(asked.filter((each) => each === name).length, answers.length - 1)]
        asked.push(name)
        return answer === undefined ? Effect.fail(new SocketError({ code: "ENOTFOUND" })) : Effect.succeed(answer)
      }),
    connect: (address, port) =>
      Effect.suspend(() => {
        connected.push(`${address} ${port}`)
        return silent.has(address)
          ? Effect.never
          : refusing.has(address)
          ? Effect.fail(new SocketError({ code: "ECONNREFUSED" }))
          : Effect.sync(() => new Socket())
      }),
    ownAddresses: Effect.succeed(new Set(["127.0.0.1", "::1", OWN]))
  }
  return { asked, connected, silent, refusing, sockets }
}

const wayOut = (
  outside: ReturnType<typeof makeOutside>,
  allow: ReadonlyArray<string>,
  policy: NetworkPolicy = "public"
) =>
  Effect.map(
    Egress.make({ allow }, policy, outside.sockets),
    Option.getOrThrowWith(() => new Error("There is no way out."))
  )

const refusal = <A, R>(effect: Effect.Effect<A, { readonly status: number; readonly message: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ message, status }) => ({ status, message }))

describe("Egress", () => {
  it.scoped("connects to the address that it has looked at, and looks the name up once", () =>
    Effect.gen(function*() {
      // What a name server does that wants to get past the check: public for the first who asks, then something else.
      const outside = makeOutside({ "rebind.test": [["1.1.1.1"], ["127.0.0.1"]] })
      const { connect } = yield* wayOut(outside, ["rebind.test:80"])
      yield* connect("rebind.test", 80)
      expect(outside.asked).toEqual(["rebind.test"])
      expect(outside.connected).toEqual(["1.1.1.1 80"])
      expect(yield* refusal(connect("rebind.test", 80))).toMatchObject({ status: 403 })
      expect(outside.connected).toEqual(["1.1.1.1 80"])
    }))

  it.scoped("refuses names that lead to this machine, to private networks, to metadata, under every policy", () =>
    Effect.gen(function*() {
      const addresses = [
        ...["127.0.0.1", "::1", "10.0.0.5", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"],
        ...["::", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00::1", "fe80::1", "224.0.0.1", "255.255.255.255", OWN]
      ]
      for (const policy of ["public", "any", { allow: ["*.test:80", "127.0.0.1:80"] }] as const) {
        for (const address of addresses) {
          const outside = makeOutside({ "in.test": [[address]] })
          const { connect } = yield* wayOut(outside, ["in.test:80"], policy)
          const { message, status } = yield* refusal(connect("in.test", 80))
          expect(status).toBe(403)
          expect(message).toMatch(/^in\.test leads to .+network\.allow names itself\.$/)
          expect(outside.connected).toEqual([])
        }
      }
    }))

  it.scoped("leaves out the private addresses of a name that has public ones too", () =>
    Effect.gen(function*() {
      const outside = makeOutside({ "mixed.test": [["127.0.0.1", "1.1.1.1", "10.0.0.1", "8.8.8.8"]] })
      outside.refusing.add("1.1.1.1")
      const { connect } = yield* wayOut(outside, ["mixed.test:80"])
      yield* connect("mixed.test", 80)
      expect(outside.connected).toEqual(["1.1.1.1 80", "8.8.8.8 80"])
    }))

  it.scoped("reaches what is named, at the port that is named, in any spelling, and nothing else", () =>
    Effect.gen(function*() {
      const names = { "a.test": [["1.1.1.1"]], "b.a.test": [["8.8.8.8"]], "b.star.test": [["9.9.9.9"]] }
      const outside = makeOutside(names)
      const { connect } = yield* wayOut(outside, ["A.test:443", "*.star.test:443", "[2606:4700::1]:443", "8.8.4.4:53"])
      yield* connect("a.test", 443)
      yield* connect("A.TEST.", 443)
      yield* connect("b.star.test", 443)
      yield* connect("2606:4700:0:0::1", 443)
      yield* connect("8.8.4.4", 53)
      const reached = ["1.1.1.1 443", "1.1.1.1 443", "9.9.9.9 443", "2606:4700::1 443", "8.8.4.4 53"]
      expect(outside.connected).toEqual(reached)
      for (
        const [host, port] of [
          ["a.test", 80],
          ["b.a.test", 443],
          ["star.test", 443],
          ["1.1.1.1", 443],
          ["8.8.4.4", 443],
          ["elsewhere.test", 443],
          ["127.0.0.1", 443],
          ["localhost", 443]
        ] as const
      ) {
        const refused = yield* refusal(connect(host, port))
        expect(refused.status).toBe(403)
        expect(refused.message).toContain(`network: { allow: ["${host}:${port}"] }`)
      }
      expect(outside.connected).toEqual(reached)
      expect(outside.asked).toEqual(["a.test", "a.test", "b.star.test"])
    }))

  it.scoped("looks nothing up that is no host", () =>
    Effect.gen(function*() {
      const outside = makeOutside({})
      const { connect } = yield* wayOut(outside, ["a.test:80", "127.0.0.1:80"], "any")
      for (
        const host of ["", " ", "a.test\0.evil", "a.test/x", "a.test@evil", "127.1", "0x7f000001", "[::1]", "a\r\nb"]
      ) {
        expect(yield* refusal(connect(host, 80))).toMatchObject({ status: 400 })
      }
      expect([outside.asked, outside.connected]).toEqual([[], []])
    }))

  it.scoped("reaches a private address only by itself, and where the engine lets it", () =>
    Effect.gen(function*() {
      const outside = makeOutside({})
      const allow = ["127.0.0.1:5432", "[fd00::5]:80", `${OWN}:80`]
      for (const policy of ["any", { allow }] as const) {
        const { connect } = yield* wayOut(outside, allow, policy)
        yield* connect("127.0.0.1", 5432)
        yield* connect("FD00:0::5", 80)
        yield* connect(OWN, 80)
      }
      const reached = ["127.0.0.1 5432", "fd00::5 80", `${OWN} 80`]
      expect(outside.connected).toEqual([...reached, ...reached])
      // A sandbox that was made under an engine which allowed it.
      for (const policy of ["public", "none", { allow: ["127.0.0.1:1"] }] as const) {
        const { connect } = yield* wayOut(outside, allow, policy)
        expect(yield* refusal(connect("127.0.0.1", 5432))).toMatchObject({ status: 403 })
        expect(yield* refusal(connect(OWN, 80))).toMatchObject({ status: 403 })
      }
      expect(outside.connected).toHaveLength(6)
    }))

  it.scoped("tells what has no address, what refuses, and what does not answer in time", () =>
    Effect.gen(function*() {
      const outside = makeOutside({
        "empty.test": [[]],
        "dead.test": [["1.1.1.1"]],
        "slow.test": [["8.8.8.8", "9.9.9.9"]]
      })
      outside.refusing.add("1.1.1.1")
      for (const address of ["8.8.8.8", "9.9.9.9"]) outside.silent.add(address)
      const { connect } = yield* wayOut(outside, ["*.test:80"])
      expect(yield* refusal(connect("no.test", 80))).toEqual({ status: 502, message: "There is no host no.test." })
      expect(yield* refusal(connect("empty.test", 80))).toMatchObject({ status: 502 })
      expect(yield* refusal(connect("dead.test", 80))).toEqual({
        status: 502,
        message: "dead.test:80 refused the connection."
      })
      const fiber = yield* Effect.fork(refusal(connect("slow.test", 80)))
      yield* TestClock.adjust("1 minute")
      expect(yield* Fiber.join(fiber)).toEqual({ status: 504, message: "slow.test:80 did not answer in time." })
      expect(outside.connected.slice(-2)).toEqual(["8.8.8.8 80", "9.9.9.9 80"])
    }))

  it.scoped("gives up a lookup that does not come to an end", () =>
    Effect.gen(function*() {
      const outside = makeOutside({})
      const sockets: SocketsService = { ...outside.sockets, lookup: () => Effect.never }
      const { connect } = yield* wayOut({ ...outside, sockets }, ["*.test:80"])
      const fiber = yield* Effect.fork(refusal(connect("slow.test", 80)))
      yield* TestClock.adjust("1 minute")
      expect(yield* Fiber.join(fiber)).toMatchObject({ status: 504 })
    }))

  it.effect("gives no way out where nothing is allowed", () =>
    Effect.gen(function*() {
      const { sockets } = makeOutside({})
      for (const network of [undefined, "none", { allow: [] }] as const) {
        expect(Option.isNone(yield* Egress.make(network, "any", sockets))).toBe(true)
      }
    }))
})

describe("NetworkPolicy", () => {
  const own = new Set([OWN])
  const make = (policy: NetworkPolicy, ...allow: ReadonlyArray<string>) =>
    check({ allow }, { policy, own, enforced: true })

  it.effect("bounds what a sandbox may ask for, and names what is beyond", () =>
    Effect.gen(function*() {
      yield* make("public", "example.org:443", "*.example.org:22", "1.1.1.1:53", "localhost:80")
      for (const address of ["127.0.0.1:80", "10.0.0.1:80", "[::1]:80", "169.254.169.254:80", `${OWN}:80`]) {
        const error = yield* failsWith(make("public", "example.org:443", address), {
          code: "forbidden",
          field: "network.allow.1"
        })
        expect(error.message).toContain(`${address} is not on the public Internet`)
        yield* make("any", address)
      }
      const listed = { allow: ["example.org:443", "*.example.net:443", "10.0.0.1:80"] }
      yield* make(listed, "EXAMPLE.org:443", "a.example.net:443", "*.b.example.net:443", "10.0.0.1:80")
      for (const beyond of ["example.org:80", "a.example.org:443", "example.net:443", "*.net:443", "10.0.0.2:80"]) {
        yield* failsWith(make(listed, beyond), { code: "forbidden", field: "network.allow.0" })
      }
      yield* failsWith(make("none", "example.org:443"), { code: "unsupported", field: "network" })
      yield* make("none")
      yield* check("none", { policy: "none", own, enforced: true })
    }))

  it.effect("says no to every limit that nothing enforces", () =>
    Effect.gen(function*() {
      const engine = { policy: "any", own, enforced: false } as const
      for (const network of ["none", { allow: [] }, { allow: ["example.org:443"] }] as const) {
        yield* failsWith(check(network, engine), { code: "unsupported", field: "network" })
      }
      yield* check(undefined, engine)
    }))
})
