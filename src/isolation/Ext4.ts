/**
 * What the superblock of an ext4 file system tells (the kernel's Documentation/filesystems/ext4/super.rst), for one that is
 * not mounted.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Buffer } from "node:buffer"
import * as Fs from "node:fs/promises"

/**
 * A file system as it was when it was last unmounted.
 */
export interface Superblock {
  /** Whether it was unmounted in order. */
  readonly clean: boolean
  /** What its files and folders take, in bytes. */
  readonly usedBytes: number
  /** How many files and folders there are in it, its root apart. */
  readonly usedFiles: number
}

const START = 1024
const SIZE = 1024

/** The inodes that ext4 keeps for itself, the one of the root among them. */
export const RESERVED_INODES = 10

/** What the root itself takes. */
const ROOT_BLOCKS = 1

const MAGIC = 0xef53
const VALID = 1
const ERRORS = 2
const INCOMPAT_64BIT = 0x80

/**
 * Reads the superblock in the first bytes of a file system. None when it is no ext4.
 */
export const parse = (bytes: Buffer): Option.Option<Superblock> => {
  if (bytes.length < SIZE || bytes.readUInt16LE(0x38) !== MAGIC) return Option.none()
  const u32 = (offset: number) => bytes.readUInt32LE(offset)
  const wide = (u32(0x60) & INCOMPAT_64BIT) !== 0
  const u64 = (low: number, high: number) => u32(low) + (wide ? u32(high) * 2 ** 32 : 0)
  const blockBytes = 1024 * 2 ** u32(0x18)
  const inodes = u32(0x0)
  // Older tools do not tell what the file system takes for itself; nearly all of it is the table of inodes.
  const overhead = u32(0x248) || Math.ceil(inodes * bytes.readUInt16LE(0x58) / blockBytes)
  const state = bytes.readUInt16LE(0x3a)
  const usedBlocks = u64(0x4, 0x150) - u64(0xc, 0x158) - overhead - ROOT_BLOCKS
  return Option.some({
    clean: (state & VALID) !== 0 && (state & ERRORS) === 0,
    usedBytes: Math.max(0, usedBlocks) * blockBytes,
    usedFiles: Math.max(0, inodes - u32(0x10) - RESERVED_INODES)
  })
}

/**
 * Reads the superblock of a file system in a file.
 */
export const read = (path: string): Effect.Effect<Option.Option<Superblock>> =>
  Effect.promise(async () => {
    const file = await Fs.open(path, "r").catch(() => undefined)
    if (file === undefined) return Option.none()
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(SIZE), 0, SIZE, START)
      return parse(buffer.subarray(0, bytesRead))
    } catch {
      return Option.none()
    } finally {
      await file.close()
    }
  })
