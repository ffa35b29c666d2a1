/** The packages node-… name their system by a string, where pnpm knows only lists: it would install them everywhere. */
function readPackage(manifest) {
  if (typeof manifest.os === 'string') manifest.os = [manifest.os];
  if (typeof manifest.cpu === 'string') manifest.cpu = [manifest.cpu];
  return manifest;
}

module.exports = { hooks: { readPackage } };
