/**
 * A shared object whose loading makes one system call: prctl(2) with `PR_SET_DUMPABLE` and 0. Node has no function for
 * it, but loads libraries (`process.dlopen`), and a library may have something to do when it is loaded.
 *
 * It is an ELF file (elf(5)) of two segments: headers and code, which is only read and executed; and what the loader
 * writes to, the dynamic section (System V ABI, chapter 5) and the list of functions to call.
 */

/** What differs from machine to machine. */
interface Machine {
  /** `e_machine`. */
  readonly number: number
  /** The type of a relocation that adds the address where the object was loaded. */
  readonly relative: number
  /** prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); return. */
  readonly code: ReadonlyArray<number>
}

const MACHINES: Readonly<Record<string, Machine>> = {
  x64: {
    number: 62,
    relative: 8,
    code: [
      ...[0xf3, 0x0f, 0x1e, 0xfa], // endbr64
      ...[0xb8, 0x9d, 0x00, 0x00, 0x00], // mov eax, 157
      ...[0xbf, 0x04, 0x00, 0x00, 0x00], // mov edi, 4
      ...[0x31, 0xf6], // xor esi, esi
      ...[0x31, 0xd2], // xor edx, edx
      ...[0x45, 0x31, 0xd2], // xor r10d, r10d
      ...[0x45, 0x31, 0xc0], // xor r8d, r8d
      ...[0x0f, 0x05], // syscall
      0xc3 // ret
    ]
  },
  arm64: {
    number: 183,
    relative: 1027,
    code: [
      ...[0x5f, 0x24, 0x03, 0xd5], // bti c
      ...[0xe8, 0x14, 0x80, 0xd2], // mov x8, 167
      ...[0x80, 0x00, 0x80, 0xd2], // mov x0, 4
      ...[0x01, 0x00, 0x80, 0xd2], // mov x1, 0
      ...[0x02, 0x00, 0x80, 0xd2], // mov x2, 0
      ...[0x03, 0x00, 0x80, 0xd2], // mov x3, 0
      ...[0x04, 0x00, 0x80, 0xd2], // mov x4, 0
      ...[0x01, 0x00, 0x00, 0xd4], // svc 0
      ...[0xc0, 0x03, 0x5f, 0xd6] // ret
    ]
  }
}

/** Where things are in the file. */
const CODE = 0x200
const HASH = 0x280
const STRINGS = 0x298
const SYMBOLS = 0x2a0
const RELOCATIONS = 0x2c0
const CALLS = 0x300
const DYNAMIC = 0x310
const END = 0x400

/** As large as pages are anywhere: the second segment is loaded so much further up. */
const PAGE = 0x10000

/** elf.h: PT_LOAD, PT_DYNAMIC, PT_GNU_STACK; the rights to execute, write and read. */
const LOAD = 1
const DYNAMIC_SECTION = 2
const STACK = 0x6474e551
const [X, W, R] = [1, 2, 4]

/** Tags of the dynamic section. */
const [DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ, DT_RELAENT, DT_STRSZ, DT_SYMENT] = [4, 5, 6, 7, 8, 9, 10, 11]
const [DT_INIT_ARRAY, DT_INIT_ARRAYSZ] = [25, 27]

/**
 * The object for a machine, by Node's name of it; none for another one than x64 and arm64.
 */
export const sharedObject = (architecture: string): Uint8Array | undefined => {
  const machine = MACHINES[architecture]
  if (machine === undefined) {
    return undefined
  }
  const bytes = new Uint8Array(END)
  const view = new DataView(bytes.buffer)
  let offset = 0
  const words = (at: number, ...values: ReadonlyArray<number>): void => {
    values.forEach((value, index) => view.setBigUint64(at + index * 8, BigInt(value), true))
  }
  const halves = (...values: ReadonlyArray<number>): void => {
    for (const value of values) {
      view.setUint16(offset, value, true)
      offset += 2
    }
  }
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  offset = 16
  halves(3, machine.number, 1)
  words(24, 0, 64)
  offset = 52
  halves(64, 56, 4, 64)
  const segment = (index: number, type: number, rights: number, from: number, to: number, up: number): void => {
    const at = 64 + index * 56
    view.setUint32(at, type, true)
    view.setUint32(at + 4, rights, true)
    words(at + 8, from, from + up, from + up, to - from, to - from, type === LOAD ? PAGE : 8)
  }
  segment(0, LOAD, R | X, 0, CALLS, 0)
  segment(1, LOAD, R | W, CALLS, END, PAGE)
  segment(2, DYNAMIC_SECTION, R | W, DYNAMIC, END, PAGE)
  segment(3, STACK, R | W, 0, 0, 0)
  bytes.set(machine.code, CODE)
  // One bucket and one symbol, the empty one that every table begins with.
  view.setUint32(HASH, 1, true)
  view.setUint32(HASH + 4, 1, true)
  words(RELOCATIONS, CALLS + PAGE, machine.relative, CODE)
  words(CALLS, CODE)
  words(
    DYNAMIC,
    ...[DT_HASH, HASH, DT_STRTAB, STRINGS, DT_SYMTAB, SYMBOLS, DT_STRSZ, 1, DT_SYMENT, 24],
    ...[DT_RELA, RELOCATIONS, DT_RELASZ, 24, DT_RELAENT, 24],
    ...[DT_INIT_ARRAY, CALLS + PAGE, DT_INIT_ARRAYSZ, 8]
  )
  return bytes
}
