import { leaseCases } from '../../../conformance/lease-cases.ts';
import { framework } from './fastify.ts';

leaseCases(framework);
