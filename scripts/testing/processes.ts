import { readdirSync, readFileSync } from 'node:fs'

interface Stat {
  readonly state: string
  readonly group: number
}

function statOf(pid: string): Stat | undefined {
  try {
    // the name, in parentheses, may hold anything; the fields that count come after it
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state = '', , group] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { state, group: Number(group) }
  } catch {
    return undefined
  }
}

function answersTo(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/**
 * Whether a process of this group still runs. A process that has ended and only waits to be collected by an init that
 * takes its time does not count (where there is a /proc to tell).
 */
export function groupRuns(group: number): boolean {
  if (!answersTo(-group)) return false
  if (statOf('self') === undefined) return true
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.map(statOf).some((stat) => stat?.group === group && stat.state !== 'Z')
}

/** Ends every process of a group at once. */
export function killGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // nothing of it is left
  }
}
