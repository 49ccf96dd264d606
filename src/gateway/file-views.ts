/** What the routes of files take and answer, as schemas. */
import { z } from 'zod';
import { FILE_PATH_BYTES_MAX, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX } from '../contracts/limits.js';

const path = z
  .string()
  .describe(`Relative to the home directory, or absolute within it; up to ${FILE_PATH_BYTES_MAX} bytes of UTF-8`);
const yes = z.enum(['true', 'false']).default('false');
const wake = yes.describe(
  '`true`: has the machine woken where it is asleep, and waits; else it is refused as MACHINE_ASLEEP',
);
const size = z.int().describe('Bytes');
const mode = z.string().describe('Permissions, octal');
const modifiedAt = z.string().describe('ISO 8601');

export const folderQuery = z.object({
  path: path.default('').describe('A folder; absent: the home directory'),
  limit: z.coerce.number().int().min(1).max(PAGE_ITEMS_MAX).default(PAGE_ITEMS_DEFAULT),
  cursor: z.string().optional().describe('`next` of the page before'),
  wake,
});
export const fileQuery = z.object({ path, wake });
export const deleteQuery = fileQuery.extend({ recursive: yes.describe('`true`: a folder with all that is in it') });

export const readHeaders = z.object({
  range: z.string().optional().describe('One range of bytes'),
  'if-none-match': z.string().optional().describe('Etags that the reader has'),
  'if-range': z.string().optional().describe('The etag of which the reader has a part'),
});
export const writeHeaders = z.object({
  'if-match': z.string().optional().describe('Etags; `*`: only where there is a file'),
  'if-none-match': z.string().optional().describe('`*`: only where nothing is'),
});

export const folderPage = z
  .object({
    items: z.array(
      z
        .object({
          name: z.string(),
          path: z
            .string()
            .nullable()
            .describe('To ask for it by; null: its name is no UTF-8, and it cannot be asked for'),
          kind: z.enum(['file', 'folder', 'link', 'other']),
          ...{ size, mode, modifiedAt },
        })
        .meta({ id: 'FolderEntry' }),
    ),
    next: z.string().nullable(),
    count: z.int().describe('Entries of the folder, of all pages'),
  })
  .meta({ id: 'Folder' });
export const fileView = z.object({ path: z.string(), size, mode, modifiedAt }).meta({ id: 'File' });
export const deletedView = z.object({ deleted: z.literal(true) }).meta({ id: 'Deleted' });
