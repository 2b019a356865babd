import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { isIP } from "node:net"
import { specialUse } from "../../src/engine/Addresses.js"

/** The IANA special-purpose registries (RFC 6890 and what has been added since), and what is not unicast. */
const SPECIAL = [
  ...["0.0.0.0", "0.1.2.3", "0.255.255.255"],
  ...["10.0.0.0", "10.1.2.3", "10.255.255.255"],
  ...["100.64.0.0", "100.100.100.200", "100.127.255.255"],
  ...["127.0.0.0", "127.0.0.1", "127.0.0.53", "127.255.255.255"],
  ...["169.254.0.0", "169.254.169.254", "169.254.170.2", "169.254.255.255"],
  ...["172.16.0.0", "172.17.0.1", "172.31.255.255"],
  ...["192.0.0.0", "192.0.0.170", "192.0.0.192", "192.0.0.255"],
  ...["192.0.2.0", "192.0.2.255", "198.51.100.7", "203.0.113.255"],
  ...["192.31.196.1", "192.52.193.1", "192.88.99.1", "192.175.48.1"],
  ...["192.168.0.0", "192.168.1.1", "192.168.255.255"],
  ...["198.18.0.0", "198.19.255.255"],
  ...["224.0.0.1", "239.255.255.250", "240.0.0.0", "255.255.255.254", "255.255.255.255"],
  "168.63.129.16",
  ...["::", "::1", "::2", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:7f00:1", "::ffff:0:8.8.8.8"],
  ...["64:ff9b::8.8.8.8", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"],
  ...["100::1", "100:0:0:1::1", "5f00::1"],
  ...[
    "2001::1",
    "2001:0:4136:e378::1",
    "2001:1::1",
    "2001:2::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1"
  ],
  ...["2001:db8::1", "2002:7f00:1::", "2620:4f:8000::1", "3fff::1", "3fff:fff::1"],
  ...["4000::1", "8000::1", "e000::1"],
  ...["fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "ff0e::1"]
]

const PUBLIC = [
  ...["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"],
  ...["128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0"],
  ...["192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"],
  ...["2001:200::1", "2001:4860:4860::8888", "2606:4700:4700::1111", "2620:4f:7fff::1", "2a00:1450::1", "3ffe::1"]
]

const octet = fc.integer({ min: 0, max: 255 })
const group = fc.integer({ min: 0, max: 0xffff }).map((number) => number.toString(16))

describe("Addresses", () => {
  it("knows every range that is not the public Internet, to its edges", () => {
    for (const address of SPECIAL) {
      expect([address, specialUse(address)]).toEqual([address, expect.stringMatching(/\w/)])
    }
    for (const address of PUBLIC) {
      expect([address, specialUse(address)]).toEqual([address, undefined])
    }
  })

  it("takes nothing that is no address for public", () => {
    for (
      const text of ["", "localhost", "example.org", "127.1", "0x7f.1", "2130706433", "1.1.1.1 ", "[::1]", "1.1.1"]
    ) {
      expect([text, specialUse(text)]).toEqual([text, "no address"])
    }
  })

  it("never takes an IPv4 address that is written as one of IPv6 for public", () => {
    fc.assert(fc.property(fc.tuple(octet, octet, octet, octet), ([a, b, c, d]) => {
      const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
      for (
        const written of [
          `::ffff:${a}.${b}.${c}.${d}`,
          `::ffff:${hex}`,
          `::${hex}`,
          `64:ff9b::${hex}`,
          `2002:${hex}::1`,
          `2001:0:${hex}:0:1:2:3`
        ]
      ) {
        expect(isIP(written)).toBe(6)
        expect([written, specialUse(written)]).toEqual([written, expect.stringMatching(/\w/)])
      }
    }))
  })

  it("judges an address by its value and not by how it is written", () => {
    fc.assert(fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const long = groups.map((each) => each.padStart(4, "0")).join(":")
      const canonical = new URL(`http://[${long}]/`).hostname.slice(1, -1)
      const use = specialUse(canonical)
      expect(specialUse(long)).toBe(use)
      expect(specialUse(long.toUpperCase())).toBe(use)
      // Only what has been given out is public.
      if (use === undefined) expect(parseInt(groups[0] ?? "", 16) >> 13).toBe(1)
    }))
  })
})
