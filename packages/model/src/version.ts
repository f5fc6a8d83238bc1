// pure
/** Of this software, as its packages say; what a broker tells those who ask. */
export const softwareVersion = '0.1.0';
