#ifndef PARLEY_NN_MODELS_LSTM_LANGUAGE_MODEL_H_
#define PARLEY_NN_MODELS_LSTM_LANGUAGE_MODEL_H_

#include <cstdint>
#include <memory>

#include "nn/module.h"

namespace parley::nn {

struct LstmLanguageModelOptions {
  int64_t vocabulary = 256;
  int64_t layers = 2;
  int64_t width = 256;
  double dropout = 0;  // of what each layer passes up, in training
};

// int32 ids [batch, time] -> logits of each next one [batch * time, vocabulary]: an embedding of
// `width`, LSTM layers of as many units, and a dense layer. Computes in the context's dtype.
std::unique_ptr<Module> NewLstmLanguageModel(Backend* backend,
                                             const LstmLanguageModelOptions& options);

}  // namespace parley::nn

#endif  // PARLEY_NN_MODELS_LSTM_LANGUAGE_MODEL_H_
