/** The version of Bulwark. */
export const version = "0.1.0";
