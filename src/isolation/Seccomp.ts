/**
 * The filter that decides which system calls a sandbox may make: a program of classic BPF (seccomp(2), bpf(4) of
 * the BSDs; Linux: Documentation/userspace-api/seccomp_filter.rst), made here from a table.
 *
 * A refused call fails as it would on a kernel without that feature or for a user without the right, so that programs
 * take the way round that they have anyway. A call of another architecture ends the process.
 */
import * as Option from "effect/Option"

/**
 * A machine that there is a filter for, by Node's name.
 */
export type Architecture = "x64" | "arm64"

type Numbers = readonly [x64: number | null, arm64: number | null]

/**
 * Calls that fail with EPERM, with their number on each machine (asm/unistd_64.h, asm-generic/unistd.h).
 */
export const REFUSED: Readonly<Record<string, Numbers>> = {
  // Mounts and roots: the walls themselves.
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  move_mount: [429, 429],
  open_tree: [428, 428],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  statmount: [457, 457],
  listmount: [458, 458],
  // Namespaces: a new user namespace gives all capabilities inside it, and with them much more of the kernel.
  unshare: [272, 97],
  setns: [308, 268],
  // Other processes' memory and descriptors.
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  kcmp: [312, 272],
  pidfd_getfd: [438, 438],
  process_madvise: [440, 440],
  process_mrelease: [448, 448],
  // Key rings belong to no namespace: the engine's session keys would be readable.
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  // Large parts of the kernel that no program here needs, and that exploits like.
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  memfd_secret: [447, 447],
  // Files by handle instead of by path (open_by_handle_at(2) leaves a mount), and watching whole mounts.
  open_by_handle_at: [304, 265],
  name_to_handle_at: [303, 264],
  fanotify_init: [300, 262],
  fanotify_mark: [301, 263],
  // The machine: kernels, modules, swap, accounting, clocks, names, ports, logs.
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  create_module: [174, null],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  get_kernel_syms: [177, null],
  query_module: [178, null],
  reboot: [169, 142],
  swapon: [167, 224],
  swapoff: [168, 225],
  acct: [163, 89],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  clock_adjtime: [305, 266],
  adjtimex: [159, 171],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  syslog: [103, 116],
  vhangup: [153, 58],
  iopl: [172, null],
  ioperm: [173, null],
  modify_ldt: [154, null],
  // Placement of memory on the nodes of a large machine.
  mbind: [237, 235],
  set_mempolicy: [238, 237],
  get_mempolicy: [239, 236],
  migrate_pages: [256, 238],
  move_pages: [279, 239],
  set_mempolicy_home_node: [450, 450],
  // Attributes of security modules.
  lsm_get_self_attr: [459, 459],
  lsm_set_self_attr: [460, 460],
  lsm_list_modules: [461, 461],
  // Remains of old kernels.
  nfsservctl: [180, 42],
  lookup_dcookie: [212, 18],
  uselib: [134, null],
  ustat: [136, null],
  sysfs: [139, null],
  _sysctl: [156, null],
  vserver: [236, null]
}

/** Calls that are refused, or not, by their arguments. */
export const CHECKED = {
  clone: [56, 220],
  clone3: [435, 435],
  ioctl: [16, 29],
  personality: [135, 92],
  socket: [41, 198],
  socketpair: [53, 199]
} as const satisfies Readonly<Record<string, Numbers>>

/** The last call that this table was checked against (mseal); a later one does not exist for the sandbox. */
const LAST_KNOWN_CALL = 462

/** Bit of the numbers of the x32 interface of x64, a second door to the same calls. */
const X32_BIT = 0x40000000

/** linux/audit.h: AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64. */
const AUDIT_ARCHITECTURE = { x64: 0xc000003e, arm64: 0xc00000b7 } as const

/** linux/sched.h: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
export const CLONE_NAMESPACES = 0x7e020000

/**
 * asm-generic/ioctls.h: TIOCSTI types into a terminal, TIOCLINUX pastes into a console, TIOCSETD has the kernel load a
 * driver for a line discipline, whichever the number names.
 */
export const TERMINAL_REQUESTS = [0x5412, 0x541c, 0x5423] as const

/** What Docker allows too (personality(2)): Linux and its 32-bit and Linux 2.6 dresses, and asking. */
export const PERSONALITIES = [0, 0x8, 0x20000, 0x20008, 0xffffffff] as const

export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const AF_NETLINK = 16
export const NETLINK_ROUTE = 0

/** The default, ICMP, TCP, UDP and ICMPv6: the rest is kernel modules that would be loaded on demand. */
export const INTERNET_PROTOCOLS = [0, 1, 6, 17, 58] as const

/** linux/seccomp.h; errno(3) numbers are the same on both machines. */
const ALLOW = 0x7fff0000
const KILL_PROCESS = 0x80000000
const errno = (number: number): number => 0x00050000 | number
const NOT_PERMITTED = errno(1)
const NO_SUCH_CALL = errno(38)
const NO_SUCH_PROTOCOL = errno(93)
const NO_SUCH_FAMILY = errno(97)

/** linux/bpf_common.h: load a word of `struct seccomp_data`; jump; return. */
const LOAD = 0x20
const JUMP_EQUAL = 0x15
const JUMP_GREATER_OR_EQUAL = 0x35
const JUMP_ANY_BIT = 0x45
const RETURN = 0x06

/** Offsets in `struct seccomp_data`; the low half of an argument comes first on both machines. */
const NUMBER = 0
const ARCHITECTURE = 4
const argument = (index: number): number => 16 + 8 * index

interface Instruction {
  readonly code: number
  readonly k: number
  readonly jumpTrue: number
  readonly jumpFalse: number
}

/** Skips `count` instructions unless the test holds. */
const unless = (code: number, k: number, count: number): Instruction => ({ code, k, jumpTrue: 0, jumpFalse: count })
const load = (k: number): Instruction => ({ code: LOAD, k, jumpTrue: 0, jumpFalse: 0 })
const give = (k: number): Instruction => ({ code: RETURN, k, jumpTrue: 0, jumpFalse: 0 })

/** `give(verdict)` when the loaded word is `k`. */
const onEqual = (k: number, verdict: number): ReadonlyArray<Instruction> => [unless(JUMP_EQUAL, k, 1), give(verdict)]

/** The rules of one call; they run when its number is loaded, and decide. */
const onCall = (number: number, rules: ReadonlyArray<Instruction>): ReadonlyArray<Instruction> => [
  unless(JUMP_EQUAL, number, rules.length),
  ...rules
]

const allowOnly = (values: ReadonlyArray<number>, otherwise: number): ReadonlyArray<Instruction> => [
  ...values.flatMap((value) => onEqual(value, ALLOW)),
  give(otherwise)
]

const program = (architecture: Architecture): ReadonlyArray<Instruction> => {
  const column = architecture === "x64" ? 0 : 1
  const internet = [load(argument(2)), ...allowOnly(INTERNET_PROTOCOLS, NO_SUCH_PROTOCOL)]
  return [
    load(ARCHITECTURE),
    { code: JUMP_EQUAL, k: AUDIT_ARCHITECTURE[architecture], jumpTrue: 1, jumpFalse: 0 },
    give(KILL_PROCESS),
    load(NUMBER),
    ...(architecture === "x64" ? [unless(JUMP_GREATER_OR_EQUAL, X32_BIT, 1), give(NO_SUCH_CALL)] : []),
    unless(JUMP_GREATER_OR_EQUAL, LAST_KNOWN_CALL + 1, 1),
    give(NO_SUCH_CALL),
    ...Object.values(REFUSED).flatMap((numbers) => {
      const number = numbers[column]
      return number === null ? [] : onEqual(number, NOT_PERMITTED)
    }),
    // Its flags are in memory, out of a filter's sight; the C library falls back to `clone`, whose flags are not.
    ...onEqual(CHECKED.clone3[column], NO_SUCH_CALL),
    ...onCall(CHECKED.clone[column], [
      load(argument(0)),
      unless(JUMP_ANY_BIT, CLONE_NAMESPACES, 1),
      give(NOT_PERMITTED),
      give(ALLOW)
    ]),
    ...onCall(CHECKED.ioctl[column], [
      load(argument(1)),
      ...TERMINAL_REQUESTS.flatMap((request) => onEqual(request, NOT_PERMITTED)),
      give(ALLOW)
    ]),
    ...onCall(CHECKED.personality[column], [load(argument(0)), ...allowOnly(PERSONALITIES, NOT_PERMITTED)]),
    ...onCall(CHECKED.socketpair[column], [load(argument(0)), ...allowOnly([AF_UNIX], NO_SUCH_FAMILY)]),
    ...onCall(CHECKED.socket[column], [
      load(argument(0)),
      ...onEqual(AF_UNIX, ALLOW),
      // Each rule leaves the family loaded for the next one, for it decides or is skipped.
      ...[AF_INET, AF_INET6].flatMap((family) => onCall(family, internet)),
      ...onCall(AF_NETLINK, [load(argument(2)), ...allowOnly([NETLINK_ROUTE], NO_SUCH_PROTOCOL)]),
      // Not only for want of drivers: AF_VSOCK reaches the hypervisor from any network namespace.
      give(NO_SUCH_FAMILY)
    ]),
    give(ALLOW)
  ]
}

/**
 * The filter for a machine as the kernel takes it: an array of `struct sock_filter` (linux/filter.h), little-endian.
 */
export const filter = (architecture: Architecture): Uint8Array => {
  const instructions = program(architecture)
  const bytes = new DataView(new ArrayBuffer(instructions.length * 8))
  instructions.forEach((instruction, index) => {
    bytes.setUint16(index * 8, instruction.code, true)
    bytes.setUint8(index * 8 + 2, instruction.jumpTrue)
    bytes.setUint8(index * 8 + 3, instruction.jumpFalse)
    bytes.setUint32(index * 8 + 4, instruction.k, true)
  })
  return new Uint8Array(bytes.buffer)
}

/**
 * The filter for the machine that this runs on; none for another one than x64 and arm64.
 */
export const filterHere: Option.Option<Uint8Array> = process.arch === "x64" || process.arch === "arm64"
  ? Option.some(filter(process.arch))
  : Option.none()
