/** Where `npm run cluster` has its cluster. */
export const CLUSTER_DIR = './cluster'
