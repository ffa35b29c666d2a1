/** What changes something needs it: a form of another site cannot send it, and a script of it must ask first, which is refused. */
export const OWN_HEADER = 'x-comparison';
