// Runs a TorchScript file as an app with LibTorch does: MODEL INPUT SIZE...
// INPUT is raw float32 of shape SIZE...; each output is printed as a line of its numbers.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

// Not torch/script.h, which takes twice as long to compile.
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

int main(int argc, char** argv) {
  c10::InferenceMode guard;
  std::vector<int64_t> sizes;
  for (int i = 3; i < argc; ++i) sizes.push_back(std::atoll(argv[i]));
  at::Tensor input = at::empty(sizes, at::kFloat);
  std::ifstream(argv[2], std::ios::binary)
      .read(static_cast<char*>(input.data_ptr()), static_cast<std::streamsize>(input.nbytes()));

  torch::jit::Module model = torch::jit::load(argv[1]);
  c10::IValue found = model.forward({input});
  std::vector<at::Tensor> outputs;
  if (found.isTuple()) {
    for (const auto& each : found.toTupleRef().elements()) outputs.push_back(each.toTensor());
  } else {
    outputs.push_back(found.toTensor());
  }
  for (const auto& output : outputs) {
    at::Tensor flat = output.to(at::kFloat).contiguous().view(-1);
    // Nine digits tell any two numbers of float32 apart.
    for (int64_t i = 0; i < flat.numel(); ++i) std::printf("%.9g ", flat.const_data_ptr<float>()[i]);
    std::printf("\n");
  }
}
