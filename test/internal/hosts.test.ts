import { describe, expect, it } from "@effect/vitest"
import { Option } from "effect"
import * as fc from "fast-check"
import { canonicalHost, covers, type Endpoint, parseEndpoint, showEndpoint } from "../../src/internal/hosts.js"

const parse = (text: string): Endpoint =>
  Option.getOrThrowWith(parseEndpoint(text), () => new Error(`${text} is refused`))

describe("hosts", () => {
  it("has one spelling for each host", () => {
    for (
      const [written, host] of [
        ["Example.ORG:443", "example.org"],
        ["example.org.:443", "example.org"],
        ["a_b.example.org:443", "a_b.example.org"],
        ["xn--bcher-kva.example:443", "xn--bcher-kva.example"],
        ["192.0.2.1:443", "192.0.2.1"],
        ["192.0.2.1.:443", "192.0.2.1"],
        ["[2001:DB8:0:0::1]:443", "2001:db8::1"],
        ["[::ffff:127.0.0.1]:443", "::ffff:7f00:1"]
      ] as const
    ) {
      expect(parse(written)).toMatchObject({ host, port: 443, below: false })
    }
    expect(parse("*.Example.org:443")).toEqual({ host: "example.org", port: 443, below: true, isAddress: false })
  })

  it("refuses what is no host, and old spellings of addresses that would pass for names", () => {
    for (
      const written of [
        "",
        "example.org",
        "example.org:",
        "example.org:0",
        "example.org:65536",
        "example.org:0443",
        "example.org:443 ",
        ":443",
        ".:443",
        "..:443",
        "a..b:443",
        "-a.org:443",
        "a-.org:443",
        `${"a".repeat(64)}.org:443`,
        `${"a.".repeat(130)}org:443`,
        "*:443",
        "*.*.org:443",
        "a.*.org:443",
        "*.192.0.2.1:443",
        "*.[::1]:443",
        "2001:db8::1:443",
        "[example.org]:443",
        "[::1%eth0]:443",
        "[:::1]:443",
        "127.1:443",
        "2130706433:443",
        "0x7f.0.0.1:443",
        "0177.0.0.1:443",
        "127.0.0.01:443",
        "1.2.3.400:443",
        "http://example.org:443",
        "user@example.org:443",
        "example.org:443/path",
        "exa mple.org:443",
        "exämple.org:443"
      ]
    ) {
      expect([written, Option.isSome(parseEndpoint(written))]).toEqual([written, false])
    }
  })

  it("covers the hosts below a star, whole labels only, at the same port", () => {
    const star = parse("*.example.org:443")
    for (const inside of ["a.example.org:443", "A.B.example.org.:443", "*.example.org:443", "*.a.example.org:443"]) {
      expect([inside, covers(star, parse(inside))]).toEqual([inside, true])
    }
    for (const outside of ["example.org:443", "badexample.org:443", "a.example.org:80", "example.org.evil.net:443"]) {
      expect([outside, covers(star, parse(outside))]).toEqual([outside, false])
    }
    expect(covers(parse("a.example.org:443"), star)).toBe(false)
    expect(covers(parse("127.0.0.1:80"), parse("[::ffff:127.0.0.1]:80"))).toBe(false)
  })

  it("is stable: what it shows it reads again, in any case", () => {
    const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/)
    const host = fc.oneof(
      fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join(".")),
      fc.ipV4(),
      fc.ipV6().map((address) => `[${address}]`)
    )
    fc.assert(fc.property(host, fc.integer({ min: 1, max: 65_535 }), (name, port) => {
      const read = parseEndpoint(`${name}:${port}`)
      if (Option.isSome(read)) {
        const shown = showEndpoint(read.value)
        expect(parseEndpoint(shown)).toEqual(read)
        expect(parseEndpoint(shown.toUpperCase())).toEqual(read)
        expect(Option.map(canonicalHost(read.value.host), ({ host }) => host)).toEqual(Option.some(read.value.host))
        expect(covers(read.value, parse(shown))).toBe(true)
      }
    }))
  })
})
