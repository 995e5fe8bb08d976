import { fixedSeeds } from './fixed-seeds.ts'

fixedSeeds('embedded')
