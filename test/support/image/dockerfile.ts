/** As much of a Dockerfile's grammar as ours needs; what it does not know it refuses. */

/** One instruction of a stage that changes the file system or says how the image is run. */
export type Step =
  | { readonly kind: 'env'; readonly values: Readonly<Record<string, string>> }
  | { readonly kind: 'workdir'; readonly path: string }
  | {
      readonly kind: 'copy'
      /** A stage's name; undefined: the build context. */
      readonly from: string | undefined
      readonly owner: string | undefined
      readonly sources: readonly string[]
      readonly target: string
    }
  | { readonly kind: 'run'; readonly command: string }
  | { readonly kind: 'user'; readonly uid: number; readonly gid: number }
  | { readonly kind: 'healthcheck'; readonly argv: readonly string[] }
  | { readonly kind: 'cmd'; readonly argv: readonly string[] }
  | { readonly kind: 'expose'; readonly port: number }

export interface Stage {
  readonly name: string | undefined
  readonly base: string
  readonly steps: readonly Step[]
}

/** Instructions with their continuation lines put together, comments left out. */
function instructions(text: string): string[] {
  const lines = text.split('\n').filter((line) => !/^\s*(#|$)/.test(line))
  return lines
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
}

function flagsOf(rest: string): { flags: Map<string, string>; words: string[] } {
  const all = rest.split(/\s+/).filter((word) => word !== '')
  const count = all.findIndex((word) => !word.startsWith('--'))
  const flags = all.slice(0, count).map((flag): [string, string] => {
    const at = flag.indexOf('=')
    return [flag.slice(2, at), flag.slice(at + 1)]
  })
  return { flags: new Map(flags), words: all.slice(count) }
}

function argvIn(rest: string): string[] {
  const json = /\[.*\]\s*$/.exec(rest)
  if (json === null) throw new Error(`only the exec form is known: ${rest}`)
  const words: unknown = JSON.parse(json[0])
  return Array.isArray(words) ? words.map(String) : []
}

function userOf(rest: string): Step {
  const match = /^(\d+):(\d+)$/.exec(rest)
  if (match === null) throw new Error(`USER wants numbers, which runAsNonRoot can check: ${rest}`)
  return { kind: 'user', uid: Number(match[1]), gid: Number(match[2]) }
}

function stepOf(word: string, rest: string): Step {
  switch (word) {
    case 'ENV':
      return { kind: 'env', values: Object.fromEntries(rest.split(/\s+/).map(pairOf)) }
    case 'WORKDIR':
      return { kind: 'workdir', path: rest }
    case 'COPY': {
      const { flags, words } = flagsOf(rest)
      const target = words.at(-1) ?? ''
      return { kind: 'copy', from: flags.get('from'), owner: flags.get('chown'), sources: words.slice(0, -1), target }
    }
    case 'RUN':
      return { kind: 'run', command: rest.replace(/^(--\S+\s+)+/, '') }
    case 'USER':
      return userOf(rest)
    case 'HEALTHCHECK':
      return { kind: 'healthcheck', argv: argvIn(rest) }
    case 'CMD':
      return { kind: 'cmd', argv: argvIn(rest) }
    case 'EXPOSE':
      return { kind: 'expose', port: Number(rest) }
    default:
      throw new Error(`${word} is not known here`)
  }
}

/** The stages in order. Throws on an instruction that it does not know. */
export function parseDockerfile(text: string): Stage[] {
  const stages: { name: string | undefined; base: string; steps: Step[] }[] = []
  for (const line of instructions(text)) {
    const [, word = '', rest = ''] = /^(\S+)\s+(.*)$/.exec(line.trim()) ?? []
    if (word === 'FROM') {
      const [base = '', , name] = rest.split(/\s+/)
      stages.push({ name, base, steps: [] })
      continue
    }
    const stage = stages.at(-1)
    if (stage === undefined) throw new Error(`${word} before FROM`)
    stage.steps.push(stepOf(word, rest))
  }
  return stages
}

/** Docker's patterns: `**` is any number of directories, `*` anything in one name, a leading dot included. */
function patternOf(glob: string): RegExp {
  const parts = glob.split(/(\*\*\/|\*\*|\*|\?)/).map((part) => {
    if (part === '**/') return '(?:.*/)?'
    if (part === '**') return '.*'
    if (part === '*') return '[^/]*'
    if (part === '?') return '[^/]'
    return RegExp.escape(part)
  })
  return new RegExp(`^${parts.join('')}$`)
}

/** What .dockerignore leaves in the build context: the last pattern decides that fits a path or one above it. */
export function contextFilter(ignoreFile: string): (path: string) => boolean {
  const lines = ignoreFile.split('\n').map((line) => line.trim())
  const patterns = lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ keeps: line.startsWith('!'), pattern: patternOf(line.replace(/^!/, '')) }))
  return (path) => {
    const parts = path.split('/')
    const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join('/'))
    const last = patterns.findLast(({ pattern }) => prefixes.some((prefix) => pattern.test(prefix)))
    return last?.keeps ?? true
  }
}

/** `NAME=value`; the value may have further `=` in it. */
function pairOf(text: string): [string, string] {
  const at = text.indexOf('=')
  return [text.slice(0, at), text.slice(at + 1)]
}
