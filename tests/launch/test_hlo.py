"""What kernels of a compiled program move, on one written by hand."""

from launch.benchmarks import hlo

PROGRAM = """
HloModule jit_steps

%fused_gather (param_0: u8[1000,128], param_1: s32[50]) -> f32[50,128] {
  %param_0 = u8[1000,128]{1,0} parameter(0)
  %param_1 = s32[50]{0} parameter(1)
  %gather.1 = u8[50,128]{1,0} gather(%param_0, %param_1), offset_dims={1}
  ROOT %convert.1 = f32[50,128]{1,0} convert(%gather.1)
}

%body (arg: (s32[], u8[1000,128], s32[50], bf16[128,64])) -> (s32[]) {
  %arg = (s32[], u8[1000,128]{1,0}, s32[50]{0}, bf16[128,64]{1,0}) parameter(0)
  %table = u8[1000,128]{1,0} get-tuple-element(%arg), index=1
  %rows = s32[50]{0} get-tuple-element(%arg), index=2
  %w = bf16[128,64]{1,0} get-tuple-element(%arg), index=3
  %x = f32[50,128]{1,0} fusion(%table, %rows), kind=kLoop, calls=%fused_gather
  %y = (bf16[50,64]{1,0}, s8[4194304]{0}) custom-call(%x, %w), TARGET
  ROOT %out = (s32[]) tuple(%rows)
}

ENTRY %main (p: (s32[], u8[1000,128], s32[50], bf16[128,64])) -> (s32[]) {
  %p = (s32[], u8[1000,128]{1,0}, s32[50]{0}, bf16[128,64]{1,0}) parameter(0)
  %step = s32[] get-tuple-element(%p), index=0
  %copy.1 = s32[] copy(%step)
  ROOT %while.1 = (s32[]) while(%p), condition=%less, body=%body
}
""".replace('TARGET', 'custom_call_target="__cublas$lt$matmul"')


def test_kernels_of_the_loop_over_steps():
  product, gather = hlo.step_kernels(PROGRAM)
  assert product.product and not gather.product
  # The operands and the result, not the room to work in.
  assert product.moved == 4 * 50 * 128 + 2 * 128 * 64 + 2 * 50 * 64
  # The rows that are taken of the table, the indices, the result.
  assert gather.moved == 50 * 128 + 4 * 50 + 4 * 50 * 128
  (once,) = hlo.dispatch_kernels(PROGRAM)
  assert once.instruction.name == 'copy.1'
