import assert from 'node:assert/strict'

/** A bug that somebody might write into the engine. */
export interface Mutation {
  readonly name: string
  readonly edits: readonly Edit[]
  /** Is it one that shows only when something breaks? */
  readonly broken: boolean
}

/** One place of one file, changed. */
export interface Edit {
  /** Under server/uploads here; the traces of the hold count from the project's root (test/integration/holds). */
  readonly file: string
  /** Must be there exactly once. */
  readonly find: string
  readonly replace: string
}

/** The source with one place changed; fails when that place is no longer there, or there twice. */
export function edited(source: string, { file, find, replace }: Edit): string {
  assert.equal(source.split(find).length, 2, `${file} has no longer exactly one: ${find}`)
  return source.replace(find, () => replace)
}

/** The property test has to find each of them, or it is worth nothing (test/integration/engine-mutations.test.ts). */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'acknowledges a tail before the session moved over it',
    edits: [
      {
        file: 'appender.ts',
        find: 'if (last && this.#nobodyWaits(end)) await this.#open.saveLast(moved)\n    else await this.#open.save(moved)',
        replace: 'void this.#open.save(moved).catch(() => {})',
      },
    ],
    broken: true,
  },
  {
    name: 'does not look whether a save was kept',
    edits: [
      {
        file: 'open-upload.ts',
        find: "if (kept !== 'kept' && kept !== 'released') {",
        replace: "if (kept !== 'kept' && this.#row.id === '') {",
      },
    ],
    broken: true,
  },
  {
    name: 'counts a part behind one that failed',
    edits: [
      {
        file: 'appender.ts',
        find: 'if (this.#failure) {\n          // It is',
        replace: 'if (part.bytes === 0) {\n          // It is',
      },
    ],
    broken: true,
  },
  {
    name: 'hands on cleanly what the session does not say',
    edits: [
      {
        file: 'open-upload.ts',
        find: 'must never count it behind what comes next.\n      this.hold.unanswered = true',
        replace: 'may count it.',
      },
    ],
    broken: true,
  },
  {
    name: 'raises no generation when it takes over',
    edits: [
      {
        file: 'recovery.ts',
        find: 'generation: read.generation, raise: true, from',
        replace: 'generation: read.generation, from',
      },
    ],
    broken: true,
  },
  {
    name: 'goes on with the open multipart upload of a holder that is not known to be done',
    edits: [
      {
        file: 'opening.ts',
        find: "if (taken.kind === 'clean') {",
        replace: "if (taken.kind === 'clean' || taken.kind === 'unclean') {",
      },
    ],
    broken: true,
  },
  {
    name: 'counts the tails of every hold that ever was',
    edits: [{ file: 'recovery.ts', find: 'tail.generation !== row.tailGeneration || ', replace: '' }],
    broken: true,
  },
  {
    name: 'finishes once more when the answer was lost',
    edits: [
      {
        file: 'states.ts',
        find: "uploaded: ['processing', 'terminated', 'erased'],",
        replace: "uploaded: ['uploaded', 'processing', 'terminated', 'erased'],",
      },
      {
        file: 'open-upload.ts',
        find: 'const row = await this.#deps.records.change(this.#row.id, change, { ...options, generation })',
        replace:
          'const again = () => this.#deps.records.change(this.#row.id, change, { ...options, generation })\n    const row = await again().catch(again)',
      },
    ],
    broken: true,
  },
  {
    name: 'forgets the tails before a small file',
    edits: [
      { file: 'appender.ts', find: 'const before = await this.#open.tailBytes()', replace: 'const before = NO_BYTES' },
    ],
    broken: false,
  },
  {
    name: 'shows the whole length before there is an object',
    edits: [
      {
        file: 'inspecting.ts',
        find: 'if (offset !== null && offset !== row.length) {',
        replace: 'if (offset !== null) {',
      },
    ],
    broken: false,
  },
  {
    name: 'keeps what is too long',
    edits: [
      {
        file: 'appender.ts',
        find: "if (end === 'overrun') this.#intake.take(this.#intake.bytes).release(true)",
        replace: '',
      },
    ],
    broken: false,
  },
  {
    name: 'leaves a session behind a refused request',
    edits: [
      {
        file: 'open-upload.ts',
        find: "const drop = how === 'drop' || !this.saved",
        replace: "if (!this.saved && !this.hold.lost) await this.save({})\n    const drop = how === 'drop'",
      },
    ],
    broken: false,
  },
  {
    name: 'believes any message about an offset',
    edits: [
      {
        file: 'inspecting.ts',
        find: "if (message?.type === 'offset') return savedOffset(context, row)",
        replace: "if (message?.type === 'offset') return message.offset",
      },
    ],
    broken: true,
  },
  {
    name: 'goes on with a row that was read amid a recovery',
    edits: [{ file: 'opening.ts', find: 'if (settled && agrees', replace: 'if (agrees' }],
    broken: true,
  },
  {
    name: 'rolls a segment and drops the tail behind it',
    edits: [
      {
        file: 'segments.ts',
        find: 'await open.save({ multipartId: null, start: segment.end })',
        replace: 'await open.save({ multipartId: null, start: segment.end, offset: segment.end, tails: [] })',
      },
    ],
    broken: false,
  },
  {
    name: 'writes a tail across the end of a part',
    edits: [{ file: 'appender.ts', find: ' && count < this.#untilFull()', replace: '' }],
    broken: false,
  },
]
