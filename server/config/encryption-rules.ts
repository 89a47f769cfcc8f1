/** What must hold between encryption by the service and the rest. */
import type { Rule } from './rules.ts'

export const encryptionByTheService: Rule = (values, { faults, warnings }) => {
  if (!values.isSet('ENCRYPTION_KEYS')) {
    if (values.isSet('ENCRYPT_NEW_UPLOADS') && values.get('ENCRYPT_NEW_UPLOADS')) {
      faults.push('ENCRYPT_NEW_UPLOADS is true, but ENCRYPTION_KEYS is not set: give a key, or leave it out')
    }
    return
  }
  if (values.get('DOWNLOADS') === 'redirect') {
    faults.push(
      'DOWNLOADS is redirect, but with ENCRYPTION_KEYS the store has only encrypted bytes to give: give DOWNLOADS=stream',
    )
  }
  if (!values.get('ENCRYPT_NEW_UPLOADS')) {
    warnings.push('ENCRYPT_NEW_UPLOADS is false: ENCRYPTION_KEYS only opens what was encrypted before')
  }
}
