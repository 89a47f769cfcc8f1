/** Rules about single files, each a pure function that answers its findings. */

/** Marks of tests that do not run. A skip needs its reason: as a string, or as a comment on its line or the one before. */
export function idleTests(file: string, source: string): string[] {
  const lines = source.split('\n')
  return lines.flatMap((line, index) => {
    const where = `${file}:${index + 1}`
    if (/\b(test|it|describe|suite)\.only\(|\bonly: true/.test(line)) return [`${where}: only`]
    if (!/\b(test|it|describe|suite|t)\.(skip|todo)\(|\b(skip|todo): ?true\b|\b(skip|todo): ?['"`]{2}/.test(line))
      return []
    const explained = /\/\/ ?\S/.test(line) || /^\s*\/\/ ?\S/.test(lines[index - 1] ?? '')
    const withReason = /\bt\.(skip|todo)\(\s*['"`][^'"`]/.test(line)
    return explained || withReason ? [] : [`${where}: skipped without a reason`]
  })
}

/** Lines that only hold on one machine: absolute paths of a workplace, hosts of a private package registry. */
export function placesOfOneMachine(file: string, text: string): string[] {
  const path = /(^|[\s'"`(=:])\/(work|root|home\/(?!runner\b|node\b|app\b)\w+)\//
  const host =
    /https?:\/\/(?!registry\.npmjs\.org\b)[^/\s'"`]*(artifactory|nexus|registry|mirror|proxy)[^/\s'"`]*\.\w+/i
  return text.split('\n').flatMap((line, index) => {
    const found = path.exec(line) ?? host.exec(line)
    return found === null ? [] : [`${file}:${index + 1}: ${found[0].trim()}`]
  })
}

/** How many lines a text has. */
export function lineCount(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
}
