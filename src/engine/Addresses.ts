/**
 * Which addresses are on the public Internet. What is not is refused, and so is what nobody has assigned yet.
 */
import { BlockList, isIP } from "node:net"

type Range = readonly [prefix: string, length: number]

/**
 * The IANA IPv4 Special-Purpose Address Registry (RFC 6890, as updated by RFC 8190) with multicast (RFC 5771), and one
 * address that only looks public: that of Azure's machine agent, with a machine's secrets.
 */
const SPECIAL_4: Readonly<Record<string, ReadonlyArray<Range>>> = {
  "this machine": [["127.0.0.0", 8], ["0.0.0.0", 8]],
  "a private network": [["10.0.0.0", 8], ["172.16.0.0", 12], ["192.168.0.0", 16]],
  "the network of a provider": [["100.64.0.0", 10]],
  "the local link, where clouds have their metadata": [["169.254.0.0", 16], ["168.63.129.16", 32]],
  "a multicast group": [["224.0.0.0", 4]],
  "a range that is reserved": [
    ["192.0.0.0", 24],
    ["192.0.2.0", 24],
    ["192.31.196.0", 24],
    ["192.52.193.0", 24],
    ["192.88.99.0", 24],
    ["192.175.48.0", 24],
    ["198.18.0.0", 15],
    ["198.51.100.0", 24],
    ["203.0.113.0", 24],
    ["240.0.0.0", 4]
  ]
}

/**
 * What the IANA IPv6 Special-Purpose Address Registry has (RFC 6890, RFC 8190). Some hold an IPv4 address that would be
 * reached in the end: mapped (RFC 4291), NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380), 6to4 (RFC 3056).
 */
const SPECIAL_6: Readonly<Record<string, ReadonlyArray<Range>>> = {
  "this machine": [["::1", 128], ["::", 128]],
  "a private network": [["fc00::", 7], ["fec0::", 10]],
  "the local link": [["fe80::", 10]],
  "a multicast group": [["ff00::", 8]],
  "an IPv4 address in disguise": [
    ["::ffff:0:0", 96],
    ["::", 96],
    ["64:ff9b::", 96],
    ["64:ff9b:1::", 48],
    ["2001::", 32],
    ["2002::", 16]
  ],
  "a range that is reserved": [["2001::", 23], ["2001:db8::", 32], ["2620:4f:8000::", 48], ["3fff::", 20]]
}

/** What has been given to the Internet so far: the IANA IPv6 Global Unicast Address Assignments lie in it. */
const GLOBAL_UNICAST: Range = ["2000::", 3]

const listOf = (ranges: ReadonlyArray<Range>, family: "ipv4" | "ipv6"): BlockList => {
  const list = new BlockList()
  for (const [prefix, length] of ranges) list.addSubnet(prefix, length, family)
  return list
}

const compile = (table: Readonly<Record<string, ReadonlyArray<Range>>>, family: "ipv4" | "ipv6") =>
  Object.entries(table).map(([what, ranges]) => ({ what, list: listOf(ranges, family) }))

const special4 = compile(SPECIAL_4, "ipv4")
const special6 = compile(SPECIAL_6, "ipv6")
const globalUnicast = listOf([GLOBAL_UNICAST], "ipv6")

/**
 * What an address belongs to that is not the public Internet, in words; `undefined` for a public one. A text that is no
 * address is never public.
 */
export const specialUse = (address: string): string | undefined => {
  switch (isIP(address)) {
    case 4:
      return special4.find(({ list }) => list.check(address, "ipv4"))?.what
    case 6: {
      const found = special6.find(({ list }) => list.check(address, "ipv6"))?.what
      return found ?? (globalUnicast.check(address, "ipv6") ? undefined : "a range that is not assigned")
    }
    default:
      return "no address"
  }
}
