/** How long an old secret works beside its successor, by seconds. */
export const overlaps = {
  86400: "For a day",
  3600: "For an hour",
  604800: "For a week",
  0: "Not at all: it leaked",
};
