// A module as people outside this repository write it: plain JavaScript, nothing installed, nothing imported.

export default ({ defineJob, z }) =>
  defineJob({
    type: 'custom.large',
    description: 'Returns as many bytes as are asked for',
    input: z.strictObject({ bytes: z.int().min(0) }),
    settings: { maxResultBytes: 1000 },
    async run({ bytes }) {
      return { text: 'x'.repeat(bytes) };
    },
  });
