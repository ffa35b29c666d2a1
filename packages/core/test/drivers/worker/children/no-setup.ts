/** Not a default export. */
export const setUp = 1;
